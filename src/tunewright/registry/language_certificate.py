"""The behaviour certificate of a language model: what it read, wrote and thought likely when it was made.

Every later form (adapter, merged, opened by plain MLflow, converted) replays it: prompts and token ids must be the
same, what it writes must be the same, and the likelihood of each token written may differ by a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

from tunewright.data.chat.rows import ChatRow  # noqa: TC001 -- pydantic reads the annotations
from tunewright.registry.certificate import Replay
from tunewright.support.digests import digest_bytes, digest_json
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.models.language.prompts import Prompt

GREEDY_TOKENS = 32
"""Tokens of each answer that are certified."""
BATCH_SIZE = 8
EXCERPT_CHARACTERS = 40


class Certifiable(Protocol):
    """What a language model must offer to be certified."""

    def prompt(self, row: ChatRow) -> Prompt:
        """Return what it reads before it answers a row."""
        ...

    def write_ids(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_size: int
    ) -> list[list[int]]:
        """Return greedy tokens behind each prompt."""
        ...

    def log_likelihoods(
        self, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]], batch_size: int
    ) -> list[list[float]]:
        """Return the log-probability (nats) of each masked token given those before it."""
        ...


class Probe(BaseModel):
    """One row, and what the model made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: ChatRow
    prompt: str
    """As rendered."""
    token_ids: tuple[int, ...]
    """Of the prompt."""
    token_digest: str
    written: tuple[int, ...]
    """The first greedy tokens."""
    log_probabilities: tuple[float, ...]
    """Of each of them, in nats."""
    output_digest: str


class LanguageCertificate(BaseModel):
    """What a language model answered to its probes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    model_digest: str
    bound: float
    """Largest difference of a log-probability that a replay may show."""
    batch_difference: float
    """Largest difference of a log-probability between a probe scored alone and among the others."""
    probes: tuple[Probe, ...]

    @property
    def digest(self) -> str:
        """Identity of the certificate: over all that it holds."""
        return digest_json(self.model_dump(mode="json"))


def choose_probes(rows: Sequence[ChatRow], count: int) -> list[ChatRow]:
    """Choose rows with different prompts that cover all lengths, the shortest and the longest included."""
    distinct: dict[str, ChatRow] = {}
    for row in rows:
        # The answer isn't part of the probe, and a training row's shouldn't travel with the model.
        distinct.setdefault(digest_json(row.model_dump(mode="json")), row)
    ordered = sorted(distinct.values(), key=lambda row: (len(row.model_dump_json()), row.row))
    if len(ordered) <= count:
        return ordered
    if count == 1:
        return [ordered[len(ordered) // 2]]
    return [ordered[round(at * (len(ordered) - 1) / (count - 1))] for at in range(count)]


def record(
    model: Certifiable, rows: Sequence[ChatRow], *, bound: float, model_digest: str
) -> LanguageCertificate:
    """Write down what a model answers.

    Args:
        model: As training left it.
        rows: The probes.
        bound: Largest difference of a log-probability that a replay may show.
        model_digest: Identity of the weights.

    Raises:
        InputError: When there are no probes.
        TunewrightError: When a likelihood isn't finite or depends on the other rows of a batch.
    """
    if not rows:
        raise InputError("a certificate needs at least one probe", mend="set registry.probes to 1 or more")
    prompts = [model.prompt(row) for row in rows]
    written = model.write_ids(
        [prompt.ids for prompt in prompts], max_new_tokens=GREEDY_TOKENS, batch_size=BATCH_SIZE
    )
    alone, difference = _likelihoods(model, [prompt.ids for prompt in prompts], written, bound)
    return LanguageCertificate(
        model_digest=model_digest,
        bound=bound,
        batch_difference=difference,
        probes=tuple(
            Probe(
                row=row,
                prompt=prompt.text,
                token_ids=prompt.ids,
                token_digest=digest_json(list(prompt.ids)),
                written=tuple(tokens),
                log_probabilities=tuple(values),
                output_digest=digest_bytes(repr((tokens, values)).encode()),
            )
            for row, prompt, tokens, values in zip(rows, prompts, written, alone, strict=True)
        ),
    )


def replay(certificate: LanguageCertificate, model: Certifiable) -> Replay:
    """Ask a model the same and compare: prompts and tokens must be identical, likelihoods within the bound.

    Where the model writes another token that it thinks as likely as the certified one, to twice the bound, it
    is a tie that rounding broke, and what follows isn't compared.

    Raises:
        TunewrightError: On the first probe that differs, with the difference.
    """
    for number, probe in enumerate(certificate.probes, start=1):
        if digest_json(list(probe.token_ids)) != probe.token_digest:
            raise _mismatch("the certificate itself is damaged", number, probe)
        prompt = model.prompt(probe.row)
        if prompt.text != probe.prompt:
            raise _mismatch("the prompt is rendered differently", number, probe)
        if tuple(prompt.ids) != probe.token_ids:
            raise _mismatch(f"the token ids differ ({_first_difference(prompt.ids, probe)})", number, probe)
    prompts = [probe.token_ids for probe in certificate.probes]
    found, batched = _likelihoods(
        model, prompts, [probe.written for probe in certificate.probes], certificate.bound
    )
    written = model.write_ids(prompts, max_new_tokens=GREEDY_TOKENS, batch_size=BATCH_SIZE)
    largest = 0.0
    for number, (probe, values) in enumerate(zip(certificate.probes, found, strict=True), start=1):
        difference = max(
            (abs(one - other) for one, other in zip(values, probe.log_probabilities, strict=True)),
            default=0.0,
        )
        if not difference <= certificate.bound:
            raise _mismatch(
                f"log-probabilities differ by {difference:.3g}, allowed are {certificate.bound:g}",
                number,
                probe,
            )
        largest = max(largest, difference)
        _compare_written(model, probe, written[number - 1], number, certificate.bound)
    return Replay(certificate.digest, len(certificate.probes), largest, batched, certificate.bound)


def _compare_written(
    model: Certifiable, probe: Probe, tokens: Sequence[int], number: int, bound: float
) -> None:
    """Refuse other greedy tokens than the certified ones, ties aside."""
    if tuple(tokens) == probe.written:
        return
    pairs = zip(tokens, probe.written, strict=False)
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if at is None:
        raise _mismatch(f"it writes {len(tokens)} tokens, certified were {len(probe.written)}", number, probe)
    sequence = [*probe.token_ids, *probe.written[:at], tokens[at]]
    mask = [*([False] * (len(sequence) - 1)), True]
    own = model.log_likelihoods([sequence], [mask], 1)[0][0]
    if own - probe.log_probabilities[at] > 2 * bound:
        raise _mismatch(f"it writes another token at position {at}", number, probe)


def _likelihoods(
    model: Certifiable,
    prompts: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]],
    bound: float,
) -> tuple[list[list[float]], float]:
    """Score the written tokens of each probe alone and all together.

    Returns:
        The log-probabilities scored alone, and the largest difference to those of the batch.
    """
    sequences = [[*prompt, *tokens] for prompt, tokens in zip(prompts, written, strict=True)]
    masks = [
        [False] * len(prompt) + [True] * len(tokens) for prompt, tokens in zip(prompts, written, strict=True)
    ]
    together = model.log_likelihoods(sequences, masks, BATCH_SIZE)
    alone = [model.log_likelihoods([one], [mask], 1)[0] for one, mask in zip(sequences, masks, strict=True)]
    largest = 0.0
    for number, (one, other) in enumerate(zip(alone, together, strict=True), start=1):
        if not all(map(math.isfinite, [*one, *other])):
            raise _mismatch("log-probabilities are not finite", number)
        difference = max((abs(left - right) for left, right in zip(one, other, strict=True)), default=0.0)
        if not difference <= bound:
            raise _mismatch(
                f"the answer depends on the other rows of a batch (by {difference:.3g}, allowed are {bound:g})",
                number,
            )
        largest = max(largest, difference)
    return alone, largest


def _first_difference(ids: Sequence[int], probe: Probe) -> str:
    pairs = zip(ids, probe.token_ids, strict=False)
    at = next(
        (at for at, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(probe.token_ids))
    )
    return f"from position {at} on; {len(ids)} tokens, certified were {len(probe.token_ids)}"


def _mismatch(fact: str, number: int, probe: Probe | None = None) -> TunewrightError:
    """Name the probe and the difference."""
    text = probe.prompt if probe else ""
    excerpt = text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS] + "…"
    named = f" ({excerpt!r})" if probe else ""
    return TunewrightError(
        fact,
        place=f"certificate probe {number}{named}",
        mend="this model is not the one that was certified: don't use it",
    )
