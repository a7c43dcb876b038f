"""Where an answer ends: the stop tokens that a model's files declare, its family knows, and its template writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunewright.data.chat.rows import Message
from tunewright.models.chat.template import ChatTemplate, RefusedRowError

if TYPE_CHECKING:
    from tunewright.models.chat.families import Family

PROBE = (Message(role="user", content="probe-question"), Message(role="assistant", content="probe-answer"))


def turn_end_of(tokenizer: Any, template: ChatTemplate | None) -> str | None:  # noqa: ANN401
    """Return the token that the template writes directly behind an answer, if it writes one."""
    if template is None:
        return None
    try:
        text = template.render(PROBE).text
    except RefusedRowError:
        return None
    _, found, tail = text.rpartition(PROBE[1].content)
    tail = tail.lstrip()
    added = (str(token) for token in tokenizer.added_tokens_decoder.values())
    behind = [token for token in added if token.strip() and tail.startswith(token)]
    return max(behind, key=len) if found and behind else None


def declared_stops(tokenizer: Any, settings: Mapping[str, Any], generation: Mapping[str, Any]) -> list[str]:  # noqa: ANN401
    """Return the tokens at which the model's own files say to stop."""
    ids: list[int] = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for each in (generation.get("eos_token_id"), settings.get("eos_token_id")):
        ids += [number for number in (each if isinstance(each, list) else [each]) if isinstance(number, int)]
    # llama2.c's models end a story by opening the next: an opening token ends no answer.
    ids = [number for number in dict.fromkeys(ids) if number < len(tokenizer)]
    eos, bos = tokenizer.eos_token_id, tokenizer.bos_token_id
    return [str(tokenizer.convert_ids_to_tokens(number)) for number in ids if number != bos or bos == eos]


def known_stops(tokenizer: Any, family: Family | None) -> list[str]:  # noqa: ANN401
    """Return the stop tokens of a family that this vocabulary has."""
    return [token for token in (family.stop_tokens if family else ()) if token in tokenizer.get_vocab()]
