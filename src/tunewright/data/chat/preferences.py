"""Answers to be compared: a better and a worse one to the same prompt, or one that was rated good or bad."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunewright.data.chat.columns import (
    LABEL_COLUMNS,
    PROMPT_COLUMNS,
    TURN_COLUMNS,
    Row,
    is_answer,
    label_column,
    texts,
    turn_column,
)
from tunewright.data.chat.conversations import with_system
from tunewright.data.chat.fields import Fields, filled
from tunewright.data.chat.instructions import asked
from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.data.chat.sequences import conversation
from tunewright.data.chat.turns import Placed, dialect_of, tools_of, turns

SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")
"""What stands before each turn of a transcript, as in the HH-RLHF data set."""


def preference_columns(row: Row) -> frozenset[str]:
    """Tell whether a row holds a chosen and a rejected answer."""
    if not (is_answer(row.get("chosen")) and is_answer(row.get("rejected"))):
        return frozenset()
    prompt = next((name for name in PROMPT_COLUMNS if row.get(name) is not None), None)
    return frozenset({"chosen", "rejected", *([prompt] if prompt else [])})


def rated_columns(row: Row) -> frozenset[str]:
    """Tell whether a row holds an answer that was rated."""
    label = label_column(row)
    if label is None:
        return frozenset()
    if "prompt" in row and is_answer(row.get("completion")):
        return frozenset({"prompt", "completion", label})
    if column := turn_column(row):
        return frozenset({column, label})
    pair = texts(row, "instruction", "output")
    return pair | {label} if pair else frozenset()


def preference_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``chosen`` and ``rejected``, with the prompt in a column of its own or at the start of both.

    Raises:
        RowError: When the row is none, or both answers are the same.
    """
    tools = tools_of(fields)
    prompt = _prompt(fields, PROMPT_COLUMNS)
    chosen, rejected = (_answer(fields, name) for name in ("chosen", "rejected"))
    if all(side and side[0][1].role != "assistant" for side in (chosen, rejected)):
        shared = _shared(chosen, rejected)
        _check_same_prompt(prompt, chosen[:shared])
        if len(prompt) < shared:
            prompt = chosen[:shared]
        chosen, rejected = chosen[shared:], rejected[shared:]
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        _check_answer(prompt, side, name)
        conversation([*prompt, *side], place=name, tools=tools)
    better, worse = _messages(chosen), _messages(rejected)
    if better == worse:
        raise RowError("same_answers", "the fields 'chosen' and 'rejected' hold the same answer")
    return (
        ChatRow(kind="preference", messages=_messages(prompt), chosen=better, rejected=worse, tools=tools),
    )


def rated_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read a prompt, an answer and ``label``; without a column of its own, the answer is what follows the last user.

    Raises:
        RowError: When the row is none.
    """
    good = fields.flag(fields.first_of(*LABEL_COLUMNS) or "label")
    tools = tools_of(fields)
    if fields.has("completion") or not (fields.has("output") or fields.first_of(*TURN_COLUMNS)):
        prompt, answer, name = (
            _prompt(fields, ("prompt",), needed=True),
            _answer(fields, "completion"),
            "completion",
        )
    elif fields.has("output"):
        prompt, answer, name = (
            _prompt(fields, ("instruction",), needed=True),
            _answer(fields, "output"),
            "output",
        )
    else:
        whole, name = _prompt(fields, TURN_COLUMNS), fields.first_of(*TURN_COLUMNS) or ""
        asked_last = max((at for at, (_, turn) in enumerate(whole) if turn.role == "user"), default=-1)
        prompt, answer = whole[: asked_last + 1], whole[asked_last + 1 :]
        if not prompt:
            raise RowError("no_answer", f"the field '{name}' has no turn of the user that is answered")
    conversation([*prompt, *answer], place=name, tools=tools)
    _check_answer(prompt, answer, name)
    return (
        ChatRow(kind="rated", messages=_messages(prompt), chosen=_messages(answer), good=good, tools=tools),
    )


def _prompt(fields: Fields, columns: Sequence[str], *, needed: bool = False) -> list[Placed]:
    """Return the turns of the prompt; of a text, one of the user."""
    name = fields.first_of(*columns)
    system = fields.text_or_nothing("system")
    if name is None:
        if needed:
            fields.need(columns[0])
        return with_system([], system)
    if name == "instruction":
        return with_system([(name, Message(role="user", content=asked(fields)))], system)
    found = fields.need(name)
    if isinstance(found, str) and name not in TURN_COLUMNS:
        return with_system([(name, Message(role="user", content=filled(found, name)))], system)
    return with_system(turns(found, name, fields.unused), system)


def _answer(fields: Fields, name: str) -> list[Placed]:
    """Return the turns of an answer: text, a transcript, one turn or several."""
    found = fields.need(name)
    if isinstance(found, str):
        text = filled(found, name)
        if SPEAKER.match(text):
            return _transcript(text, name)
        return [(name, Message(role="assistant", content=text))]
    one = [found]
    return turns(one if dialect_of(one) else found, name, fields.unused)


def _transcript(text: str, name: str) -> list[Placed]:
    """Cut a transcript into its turns."""
    _, *parts = SPEAKER.split(text)
    found = []
    for number, (speaker, said) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        place = f"{name}, turn {number + 1}"
        content = filled(said.strip(), place)
        found.append((place, Message(role="user" if speaker == "Human" else "assistant", content=content)))
    return found


def _shared(chosen: Sequence[Placed], rejected: Sequence[Placed]) -> int:
    """Return how many turns both sides begin with, up to where the assistant answers."""
    count = 0
    for (_, one), (_, other) in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        count += 1
    while count and any(side[count][1].role != "assistant" for side in (chosen, rejected)):
        count -= 1
    if not count:
        raise RowError(
            "no_shared_prompt", "the fields 'chosen' and 'rejected' don't begin with the same prompt"
        )
    return count


def _check_same_prompt(prompt: Sequence[Placed], shared: Sequence[Placed]) -> None:
    """Refuse a prompt in a column of its own that is not the one that both sides begin with."""
    told, found = _messages(prompt), _messages(shared)
    if told and found[-len(told) :] != told and told[-len(found) :] != found:
        raise RowError(
            "no_shared_prompt", "the fields 'chosen' and 'rejected' begin with another prompt than the row's"
        )


def _check_answer(prompt: Sequence[Placed], answer: Sequence[Placed], name: str) -> None:
    """Refuse an answer that isn't the assistant's, or that follows one of the assistant's."""
    if not answer or answer[0][1].role != "assistant":
        raise RowError("no_answer", f"the field '{name}' doesn't begin with a turn of the assistant")
    if prompt and prompt[-1][1].role not in ("user", "tool"):
        where, last = prompt[-1]
        raise RowError(
            "no_answer", f"'{where}' ends the prompt and is of role '{last.role}', so '{name}' answers nobody"
        )


def _messages(placed: Sequence[Placed]) -> tuple[Message, ...]:
    return tuple(message for _, message in placed)
