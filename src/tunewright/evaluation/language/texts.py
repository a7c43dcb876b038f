"""Scores of one answer, as pure functions of its text: overlap with the reference, repetition, refusal."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
WORD = re.compile(r"[^\W_]+")
"""Words of ROUGE: the same as its own for ASCII, and words of other scripts too, which its own drops."""
REPEATED = 4
"""Words a sequence whose repetition is counted: seq-rep-4 of Welleck et al. 2019, arXiv:1908.04319."""
REFUSAL_HEAD = 200
"""Characters in which a refusal begins; further in, the phrases are mostly quoted."""
REFUSALS = (
    "i can't assist", "i cannot assist", "i can't help", "i cannot help", "i can't provide", "i cannot provide",
    "i can't fulfill", "i cannot fulfill", "i can't comply", "i cannot comply", "i'm unable to", "i am unable to",
    "i'm not able to", "i am not able to", "i won't be able to", "i will not be able to", "as an ai language model",
    "i'm sorry, but i can", "i am sorry, but i can", "i apologize, but i can", "i must decline",
)  # fmt: skip
"""English phrases by which an answer counts as a refusal; their apostrophes may be curly."""


def token_f1(output: str, reference: str) -> float:
    """Return the F1 of shared words, as SQuAD counts it (Rajpurkar et al. 2016, arXiv:1606.05250).

    Case, punctuation and English articles don't count; words do as often as they occur. A text of nothing else is
    taken as it stands. Two empty texts are equal, 1.
    """
    said, right = _squad_words(output), _squad_words(reference)
    if not said or not right:
        return float(said == right)
    shared = (Counter(said) & Counter(right)).total()
    return 2 * shared / (len(said) + len(right))


def repetition(text: str) -> float:
    """Return the share of sequences of four words that stood in the text before; 0 in shorter texts."""
    sequences = ngrams(text.split(), REPEATED)
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Return the sequences of ``size`` words in a text."""
    return list(zip(*(words[at:] for at in range(size)), strict=False))


def refuses(text: str) -> bool:
    """Tell whether an answer begins with one of ``REFUSALS``, within its first characters."""
    head = " ".join(text[:REFUSAL_HEAD].lower().replace("’", "'").split())
    return any(phrase in head for phrase in REFUSALS)


def rouge(output: str, reference: str) -> tuple[float, float, float]:
    """Return the F-measures ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), without stemming.

    As ``rouge-score`` counts them, but for its words: see ``WORD``. Two texts without a word are equal when they
    are the same; in them and in a text of one word there are no pairs, and ROUGE-2 then says whether the texts agree.
    """
    said, right = _words(output), _words(reference)
    if said == right:
        same = 1.0 if said else float(output.split() == reference.split())
        return same, same, same
    found = _rouge_scorer().score(reference, output)
    return tuple(float(found[name].fmeasure) for name in ("rouge1", "rouge2", "rougeL"))  # type: ignore[return-value]


def chrf(output: str, reference: str) -> float:
    """Return the chrF of one answer, 0 to 100 (Popović 2015), as sacrebleu counts a sentence's."""
    if output.split() == reference.split():
        return 100.0  # also where no character is left to count
    return float(_chrf().sentence_score(output, [reference]).score)


def bleu_counts(output: str, reference: str) -> tuple[float, ...]:
    """Return what BLEU is made from (Papineni et al. 2002), by sacrebleu with its default tokenizer.

    Returns:
        Length of the answer and of the reference in tokens; right sequences of 1 to 4 tokens; all of them.
    """
    found = _bleu().corpus_score([output], [[reference]])
    return float(found.sys_len), float(found.ref_len), *map(float, found.counts), *map(float, found.totals)


def bleu_from(counts: Sequence[float]) -> float:
    """Return the BLEU, 0 to 100, of counts as ``bleu_counts`` gives them, added up over answers.

    Sequences longer than any answer don't count, so that one-word answers can be right; otherwise it is sacrebleu's.
    """
    length, right_length, *rest = map(int, counts)
    found = _bleu().compute_bleu(
        rest[:4], rest[4:], length, right_length, smooth_method="exp", effective_order=True
    )
    return min(100.0, float(found.score))


class _Words:
    """Cuts texts into words for ROUGE."""

    def tokenize(self, text: str) -> list[str]:
        return _words(text)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _squad_words(text: str) -> list[str]:
    """Return words without case, punctuation and articles; all words where nothing else is there."""
    plain = text.lower().translate(_NO_PUNCTUATION)
    return ARTICLES.sub(" ", plain).split() or text.lower().split()


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@cache
def _rouge_scorer() -> Any:  # noqa: ANN401 - of a package without types
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtraError("ROUGE", "llm") from error
    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())


@cache
def _bleu() -> Any:  # noqa: ANN401 - loaded late
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingExtraError("BLEU", "llm") from error
    # "force" only keeps quiet about answers that end in " .", which people's answers do too.
    return BLEU(force=True)


@cache
def _chrf() -> Any:  # noqa: ANN401 - loaded late
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtraError("chrF", "llm") from error
    return CHRF()
