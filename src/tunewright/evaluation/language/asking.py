"""Asking a language model: each row's prompt goes in, its answer and the losses of given ones come out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tunewright.evaluation.language.answers import Answer, Answers
from tunewright.support.console import console, is_terminal, say
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tunewright.config.language import GenerationConfig
    from tunewright.data.chat.rows import ChatRow
    from tunewright.evaluation.predictions import Role
    from tunewright.models.language.writing import Writer, Written

LINE_SECONDS = 30.0
"""A log gets a line this often."""
BATCHES = 8
"""Batches handed over at once: enough for the writer to sort, few enough for progress to be seen."""


def answer_rows(
    writer: Writer,
    rows: Sequence[ChatRow],
    *,
    name: str,
    role: Role,
    config: GenerationConfig,
    size_bytes: int | None = None,
) -> Answers:
    """Let a model answer rows, and measure how likely it holds the right answers to be.

    Rows need a prompt and an answer in words to hold the model's against: conversations that end with one,
    completions, the chosen answer of a preference, good rated answers. Plain text gets a loss alone. Others
    (bad answers, bare tool calls) are left out and counted. ``config.rows`` takes that many, evenly spread.
    Of a preference the rejected answer's likelihood is measured as well.

    Args:
        writer: The model.
        rows: What to ask; a row without a number gets its place, counted from 1.
        name: The model's name in the report.
        role: What it stands for.
        config: Tokens, batch size and rows.
        size_bytes: Of its weights.

    Raises:
        InputError: When no row is left.
        TunewrightError: When a loss isn't a number, or the writer doesn't answer every row.
    """
    asked = [(at, row, texts) for at, row in enumerate(rows, 1) if (texts := question_and_answer(row))]
    if not asked:
        raise InputError(
            "no row has both a prompt and an answer", place=f"model '{name}'", mend="give rows with answers"
        )
    if len(asked) < len(rows):
        say(
            f"{name}: {len(rows) - len(asked):,} rows have no prompt, or no answer in words, and are left out"
        )
    asked = [asked[at] for at in evenly(len(asked), config.rows)]
    chosen = [row for _, row, _ in asked]
    began = time.monotonic()
    written = _write(writer, chosen, name=name, config=config)
    seconds = time.monotonic() - began
    losses = _losses(writer, chosen, name=name, config=config)
    rejected = _rejected_losses(writer, chosen, name=name, config=config)
    answers = [
        Answer(
            row=row.row or at,
            source=row.source,
            prompt=prompt,
            reference=reference,
            output=said.text if said else None,
            tokens=said.tokens if said else 0,
            finished=said.finished if said else True,
            reference_loss=float(loss),
            reference_tokens=int(tokens),
            rejected=row.rejected[-1].content if row.rejected else None,
            rejected_loss=worse,
        )
        for (at, row, (prompt, reference)), said, (loss, tokens), worse in zip(
            asked, written, losses, rejected, strict=True
        )
    ]
    return Answers(name, role, tuple(answers), seconds, size_bytes)


def question_and_answer(row: ChatRow) -> tuple[str, str] | None:
    """Return what a row asks, for a person, and what should be answered; None where either is missing."""
    if row.kind == "text":
        return ("", row.text) if row.text.strip() else None
    if row.kind == "completion":
        return (row.prompt, row.completion) if row.prompt.strip() and row.completion.strip() else None
    if row.kind == "rated" and not row.good:
        return None
    turns = (*row.messages, *row.chosen)
    if not turns or turns[-1].role != "assistant" or not turns[-1].content.strip():
        return None
    asked = [turn for turn in turns[:-1] if turn.role != "assistant" and turn.content.strip()]
    if not asked:
        return None
    by_user = [turn for turn in asked if turn.role == "user"]
    return (by_user or asked)[-1].content, turns[-1].content


def evenly(count: int, limit: int | None) -> range | list[int]:
    """Return positions below ``count``, at most ``limit`` of them, spread evenly and ascending."""
    if limit is None or limit >= count:
        return range(count)
    return [(2 * at + 1) * count // (2 * limit) for at in range(limit)]


def _write(
    writer: Writer, rows: Sequence[ChatRow], *, name: str, config: GenerationConfig
) -> list[Written | None]:
    """Answer rows in parts of similar length, the longest first, so that what is too long shows at once."""
    order = [at for at, row in enumerate(rows) if row.kind != "text"]
    order.sort(key=lambda at: -_length(rows[at]))
    written: list[Written | None] = [None] * len(rows)
    part = BATCHES * config.batch_size
    with _progress(f"{name} answers", len(order)) as advance:
        for start in range(0, len(order), part):
            chosen = order[start : start + part]
            found = writer.write(
                [rows[at] for at in chosen],
                max_new_tokens=config.max_new_tokens,
                batch_size=config.batch_size,
            )
            if len(found) != len(chosen):
                raise TunewrightError(
                    f"gave {len(found)} answers to {len(chosen)} rows", place=f"model '{name}'"
                )
            for at, one in zip(chosen, found, strict=True):
                written[at] = one
            advance(len(chosen))
    return written


def _losses(
    writer: Writer, rows: Sequence[ChatRow], *, name: str, config: GenerationConfig
) -> list[tuple[float, int]]:
    """Return for each row the loss of its answer, and how many tokens that is summed over."""
    losses = writer.losses(rows, batch_size=config.batch_size) if rows else []
    if len(losses) != len(rows):
        raise TunewrightError(f"gave {len(losses)} losses for {len(rows)} rows", place=f"model '{name}'")
    return losses


def _rejected_losses(
    writer: Writer, rows: Sequence[ChatRow], *, name: str, config: GenerationConfig
) -> list[float | None]:
    """Return for each preference the loss of its rejected answer: that of the row with both answers swapped.

    None for other rows, and where the prompt alone fills the length limit, so that no token of an answer is left.
    """
    pairs = [at for at, row in enumerate(rows) if row.kind == "preference"]
    swapped = [
        rows[at].model_copy(update={"chosen": rows[at].rejected, "rejected": rows[at].chosen}) for at in pairs
    ]
    found: list[float | None] = [None] * len(rows)
    for at, (loss, tokens) in zip(pairs, _losses(writer, swapped, name=name, config=config), strict=True):
        found[at] = float(loss) if tokens else None
    return found


def _length(row: ChatRow) -> int:
    return len(row.prompt) + sum(len(turn.content) for turn in row.messages)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that counts rows: a bar on a terminal, now and then a line in a log."""
    if not is_terminal():
        yield _lines(what, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _lines(what: str, total: int) -> Callable[[int], None]:
    """Return what says a line when one is due."""
    done, said = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if done < total and time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            say(f"{what}: {done:,} of {total:,} rows")

    return advance
