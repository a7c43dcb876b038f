"""Instructions and questions with their answers: Alpaca, the tasks of Self-Instruct, question and answer."""

from __future__ import annotations

from tunewright.data.chat.columns import Row, texts
from tunewright.data.chat.fields import Fields, as_list, as_text, filled
from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.rows import ChatRow, Message, Role

EXCHANGE = 2
"""A turn of the history is a pair: what was asked, what was answered."""


def alpaca_columns(row: Row) -> frozenset[str]:
    """Tell whether a row is an instruction with its output."""
    return texts(row, "instruction", "output")


def alpaca_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``instruction``, perhaps ``input``, and ``output``; ``system`` and ``history`` may stand before them.

    Raises:
        RowError: When the row is none.
    """
    messages = [*system_of(fields), *_history(fields)]
    messages += [turn("user", asked(fields)), turn("assistant", fields.text("output"))]
    return (ChatRow(kind="conversation", messages=tuple(messages)),)


def task_columns(row: Row) -> frozenset[str]:
    """Tell whether a row is a task of Self-Instruct."""
    fits = texts(row, "instruction") and isinstance(row.get("instances"), list | str)
    return frozenset({"instruction", "instances"}) if fits else frozenset()


def task_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``instruction`` and ``instances``, pairs of ``input`` and ``output``; each gives a row.

    Raises:
        RowError: When the row is none, or one of its instances isn't.
    """
    instruction = fields.text("instruction")
    before = system_of(fields)
    rows = []
    for number, value in enumerate(fields.items("instances")):
        each = Fields(value, f"instances[{number}]", fields.unused)
        question = joined(instruction, each.text_or_nothing("input"))
        messages = (*before, turn("user", question), turn("assistant", each.text("output")))
        each.leave()
        rows.append(ChatRow(kind="conversation", messages=messages))
    if not rows:
        raise RowError("no_assistant", "the field 'instances' is empty, so nothing is learned")
    return tuple(rows)


def question_columns(row: Row) -> frozenset[str]:
    """Tell whether a row is a question with its answer."""
    return texts(row, "question", "answer")


def question_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``question`` and ``answer``, perhaps ``system``.

    Raises:
        RowError: When the row is none.
    """
    question, answer = fields.text("question"), fields.text("answer")
    messages = (*system_of(fields), turn("user", question), turn("assistant", answer))
    return (ChatRow(kind="conversation", messages=messages),)


def asked(fields: Fields) -> str:
    """Return an instruction with the input that it is about.

    Raises:
        RowError: When there is no instruction.
    """
    return joined(fields.text("instruction"), fields.text_or_nothing("input"))


def joined(instruction: str, about: str) -> str:
    """Join an instruction and its input by a line break, as LLaMA-Factory documents it."""
    return f"{instruction}\n{about}" if about else instruction


def turn(role: Role, content: str) -> Message:
    """Return a turn."""
    return Message(role=role, content=content)


def system_of(fields: Fields) -> tuple[Message, ...]:
    """Return the turn that the column ``system`` gives, if any.

    Raises:
        RowError: When it holds no text.
    """
    text = fields.text_or_nothing("system")
    return (turn("system", text),) if text else ()


def _history(fields: Fields) -> list[Message]:
    """Return the turns of earlier exchanges."""
    messages = []
    for number, value in enumerate(fields.items_or_nothing("history")):
        place = f"{fields.path('history')}[{number}]"
        pair = as_list(value, place)
        if len(pair) != EXCHANGE:
            raise RowError(
                "wrong_type",
                f"the field '{place}' has {len(pair)} elements where a question and an answer are expected",
            )
        for at, role in enumerate(("user", "assistant")):
            text = filled(as_text(pair[at], f"{place}[{at}]"), f"{place}[{at}]")
            messages.append(turn(role, text))  # type: ignore[arg-type]  # mypy widens the tuple to str
    return messages
