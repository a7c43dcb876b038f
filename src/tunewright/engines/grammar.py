"""Answers that match a JSON schema: at each token those are left out that no matching answer goes on with.

The work is llguidance's (https://github.com/guidance-ai/llguidance): it keeps a parser over the tokenizer's own tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.language_side import LanguageFacts

GRAMMAR = "start: / ?/ answer\nanswer: %json {schema}\n"
"""A blank may come first: after many templates a model's first token begins with one."""
BLANKS = r"[ \n]?"
"""Between two parts of an answer: one at most, or a model that is unsure writes nothing else to the end."""


class Grammars:
    """Reads schemas for one model.

    Args:
        tokenizer: Its ``tokenizer.json``.
        facts: Its stop tokens and size.
    """

    def __init__(self, tokenizer: Path, facts: LanguageFacts) -> None:
        self._path = tokenizer
        self._facts = facts

    def answer(self, schema: str, written: Sequence[int]) -> Constraint:
        """Return what an answer by a schema may go on with.

        Args:
            schema: JSON schema, as text.
            written: Tokens of the answer that are there already.

        Raises:
            InputError: When the schema can't be heeded, or llguidance isn't installed.
        """
        tokenizer = self._tokenizer
        from llguidance import LLMatcher

        try:
            described = json.loads(schema)
        except ValueError as error:
            raise InputError(f"the JSON schema can't be heeded ({error})", mend="send JSON") from None
        if isinstance(described, dict):
            described = {**described, "x-guidance": {"whitespace_pattern": BLANKS}}
        grammar = GRAMMAR.format(schema=json.dumps(described))
        if fault := LLMatcher.validate_grammar(grammar, tokenizer):
            line = " ".join(str(fault).split())[:200]
            raise InputError(f"the JSON schema can't be heeded ({line})", mend="simplify it")
        matcher = LLMatcher(tokenizer, grammar, log_level=0)
        matcher.consume_tokens(list(written))
        found = Constraint(matcher)
        firsts = set(found.allowed().nonzero()[0].tolist()) - set(self._facts.stop_ids)
        if not (matcher.is_accepting() or any(tokenizer.decode_bytes([each]).strip() for each in firsts)):
            raise InputError(
                "the model's tokenizer has no tokens for such an answer", mend="ask without a schema"
            )
        return found

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401 -- it takes a while to build, so it is kept
        if find_spec("llguidance") is None:
            raise InputError("answers by a JSON schema need llguidance", mend="pip install tunewright[serve]")
        from llguidance import LLTokenizer

        return LLTokenizer(
            self._path.read_text(encoding="utf-8"),
            n_vocab=self._facts.vocabulary,
            eos_token=list(self._facts.stop_ids),
        )


class Constraint:
    """One answer's way through a grammar.

    Args:
        matcher: llguidance's.
    """

    def __init__(self, matcher: Any) -> None:  # noqa: ANN401
        self._matcher = matcher

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Return for each token of the vocabulary whether it may come next."""
        import numpy as np

        found: npt.NDArray[np.bool_] = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8) != 0
        return found

    def take(self, token: int) -> None:
        """Go on by a token."""
        self._matcher.consume_token(token)
