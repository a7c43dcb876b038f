"""``tunewright trace``: from an answer to its version, from a version to its rows, from a row to all it went into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from tunewright.data.dataset import SplitName
    from tunewright.evaluation.lineage_page import Listed
    from tunewright.pipeline.tracing.answer import AnswerTrace
    from tunewright.pipeline.tracing.facts import RowTrace, VersionTrace

WHAT = (
    "A model version (NAME/3, NAME@champion), a data version (commit, digest, run, latest), a row's id row-… or a"
    " served answer's id pred_…"
)
ROW_ID = "row-"
PREDICTION_ID = "pred_"
LIMIT = 100
LONGEST = 100
"""Characters of a text that the terminal shows."""


def trace(
    what: Annotated[str, typer.Argument(metavar="[WHAT]", help=f"{WHAT}; the champion by default.")] = "",
    text: Annotated[str | None, typer.Option(help="Trace the row with this text.")] = None,
    row: Annotated[int | None, typer.Option(min=1, help="Trace the row with this number.")] = None,
    within: Annotated[
        str,
        typer.Option(
            "--in", metavar="VERSION", help="Data that --row counts in; the present data by default."
        ),
    ] = "",
    rows: Annotated[bool, typer.Option("--rows", help="List the rows of the version.")] = False,
    split: Annotated[str | None, typer.Option(help="With --rows: train, validation or test alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="With --rows: how many at most.")] = LIMIT,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="For a row: fetch older data that isn't on this disk.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as a page of its own.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that exists.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Follow a version or a served answer to data and rows, or a row to versions, runs, models, answers that know it.

    tunewright trace spam/3 --rows --split test

    tunewright trace --text "you have won a prize" --html prize.html

    tunewright trace --row 17 --in spam/1

    tunewright trace pred_019aa0b1c2d30123456789abcdef-0
    """
    _refuse_contradictions(what, text, row, within, rows=rows, split=split)
    if html is not None and html.exists() and not force:
        raise InputError("exists already", place=str(html), mend="give another file, or add --force")
    project = open_project()
    if text is not None or row is not None or what.startswith(ROW_ID):
        about = project.trace_row(text, row_id=what or None, row=row, within=within, fetch=fetch)
        _tell_row(about, html, as_json=json_)
        return
    wanted, listed = _split(split), limit if rows else 0
    if what.startswith(PREDICTION_ID):
        _tell_answer(project.trace_answer(what, rows=listed, split=wanted), html, as_json=json_)
    else:
        _tell_version(project.trace(what, rows=listed, split=wanted), html, as_json=json_)


def _split(split: str | None) -> SplitName | None:
    from tunewright.data.dataset import SPLITS

    wanted: SplitName | None = next((each for each in SPLITS if each == split), None)
    if split is not None and wanted is None:
        mend = nearest(split, [*map(str, SPLITS)]) or f"known: {', '.join(SPLITS)}"
        raise InputError("is no split", place=f"--split {split}", mend=mend)
    return wanted


def _refuse_contradictions(
    what: str, text: str | None, row: int | None, within: str, *, rows: bool, split: str | None
) -> None:
    """Refuse to be asked for two things at once."""
    asked = {"WHAT": what or None, "--text": text, "--row": row}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise InputError("can't be used together", place=" and ".join(given), mend="give one of them")
    if within and row is None:
        raise InputError("says whose rows --row counts", place=f"--in {within}", mend="add --row NUMBER")
    about_row = text is not None or row is not None or what.startswith(ROW_ID)
    if about_row and (rows or split):
        raise InputError(
            "lists the rows of a version", place="--rows", mend="leave it out when tracing a row"
        )
    if split and not rows:
        raise InputError("says which rows to list", place=f"--split {split}", mend="add --rows")


def _tell_version(trace: VersionTrace, html: Path | None, *, as_json: bool) -> None:
    from tunewright.pipeline.tracing.lists import version_facts, version_lists, version_page

    if html is not None:
        _write(html, version_page(trace))
    if as_json:
        emit_json(trace.as_json())
    else:
        _print(version_facts(trace), version_lists(trace))


def _tell_row(trace: RowTrace, html: Path | None, *, as_json: bool) -> None:
    from tunewright.pipeline.tracing.lists import row_facts, row_lists, row_page

    if html is not None:
        _write(html, row_page(trace))
    if as_json:
        emit_json(trace.as_json())
    else:
        _print(row_facts(trace), row_lists(trace))


def _tell_answer(trace: AnswerTrace, html: Path | None, *, as_json: bool) -> None:
    from tunewright.pipeline.tracing.answer_lists import answer_facts, answer_lists, answer_page

    if html is not None:
        _write(html, answer_page(trace))
    if as_json:
        emit_json(trace.as_json())
    else:
        _print(answer_facts(trace), answer_lists(trace))


def _write(html: Path, page: str) -> None:
    from tunewright.support.files import write_text

    write_text(html, page)
    say(f"drawn: {html}")


def _print(facts: list[tuple[str, str]], lists: list[Listed]) -> None:
    """Print facts, then each list that has rows."""
    for name, value in facts:
        if value:
            output().print(f"{name:<14} {_short(value)}", markup=False)
    for each in lists:
        if each.rows:
            output().print(f"\n{each.title}", markup=False)
            _print_rows(each)
            if each.note:
                output().print(f"  … {each.note}", markup=False)


def _print_rows(each: Listed) -> None:
    """Print a list in columns; columns in which nothing stands are left out, and no line is wrapped."""
    lines = [each.headings, *(tuple(map(_short, row)) for row in each.rows)]
    used = [at for at in range(len(each.headings)) if any(line[at] for line in lines[1:])]
    widths = {at: max(len(line[at]) for line in lines) for at in used}
    for line in lines:
        output().print("  " + "  ".join(line[at].ljust(widths[at]) for at in used).rstrip(), markup=False)


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
