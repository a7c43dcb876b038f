"""Ask a language model, or measure it on rows, outside the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.chat.rows import ChatRow, Message
from tunewright.pipeline.language_opening import open_language_model
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.config.schema import Recipe
    from tunewright.evaluation.language.report import LanguageReport
    from tunewright.models.language.writing import Written
    from tunewright.support.paths import ProjectPaths


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, beside the words."""

    system: str | None = None
    max_new_tokens: int = 256
    plain: bool = False
    """Go on from the words as they are, outside any chat template."""


def ask(
    words: Sequence[str],
    reference: str,
    question: Question,
    recipe: Recipe,
    *,
    paths: ProjectPaths | None = None,
) -> list[Written]:
    """Ask a language model, each of the words on its own.

    Raises:
        InputError: When the reference names no language model, or a question leaves no room for an answer.
    """
    model = open_language_model(reference, recipe, paths=paths)
    is_plain = question.plain or model.chat.template is None
    system = [Message(role="system", content=question.system)] if question.system else []
    rows = [
        ChatRow(kind="completion", prompt=each)
        if is_plain
        else ChatRow(kind="conversation", messages=(*system, Message(role="user", content=each)))
        for each in words
    ]
    written = model.write(rows, max_new_tokens=question.max_new_tokens)
    for number, (row, answer) in enumerate(zip(rows, written, strict=True), start=1):
        if not answer.tokens:
            raise InputError(
                f"has {len(model.prompt(row).ids):,} tokens as the model reads it, of {model.max_length:,} at most",
                place=f"question {number}",
                mend="ask a shorter one, or train with a larger model.max_length",
            )
    return written


def evaluate(
    reference: str,
    source: str,
    recipe: Recipe,
    *,
    against: str | None = None,
    paths: ProjectPaths | None = None,
    out: Path,
) -> LanguageReport:
    """Let one or two language models answer the rows of a source, and write a report.

    Args:
        reference: The model, as ``open_language_model`` takes it.
        source: Rows in any format that ``data convert`` reads, local or remote.
        recipe: How to read, answer and measure.
        against: A second model to compare it with.
        paths: The project, where there is one.
        out: Folder for the report.

    Raises:
        InputError: When a model or the rows can't be used.
    """
    from tunewright.data.chat.opening import open_chat
    from tunewright.evaluation.language.asking import answer_rows
    from tunewright.evaluation.language.page import write_report
    from tunewright.evaluation.language.report import build_report
    from tunewright.evaluation.language.rules import rules
    from tunewright.models.chat.reading import ReadRows
    from tunewright.support.files import writing_folder

    named = None if recipe.data.chat_format == "auto" else recipe.data.chat_format
    config = recipe.data.model_copy(update={"source": source})
    rows = list(ReadRows(open_chat(config, base_dir=Path.cwd(), format_name=named)))
    answers = []
    for role, name in (("tuned", reference), ("base", against)):
        if name is None:
            continue
        model = open_language_model(name, recipe, paths=paths)
        answers.append(
            answer_rows(
                model,
                rows,
                name=name or "champion",
                role="tuned" if role == "tuned" else "base",
                config=recipe.evaluation.generation,
                size_bytes=model.size_bytes,
            )
        )
    report = build_report(
        answers,
        config=recipe.evaluation,
        seed=recipe.seed,
        rules=rules(recipe.evaluation.generation, folder=paths.root if paths else Path.cwd()),
        project=recipe.project,
        figures={"provenance": {"rows": source, "digest": digest_json([row.model_dump() for row in rows])}},
    )
    with writing_folder(out) as folder:
        write_report(report, folder)
        for each in answers:
            each.save(folder / f"{each.role}.parquet")
    return report
