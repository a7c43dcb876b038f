"""Batch inference: a registered model answers a file, a folder or a URL, once for the same content and version."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.incoming import QUARANTINE, TAKEN, Taken
from tunewright.data.parts import PART, PartWriter, read_parts, writing_parts
from tunewright.evaluation.answers import SUMMARY, AnswerSummary, answer_table, read_summary
from tunewright.evaluation.counting import Count
from tunewright.pipeline.inference_request import (
    KEY_CHARACTERS,
    Request,
    request_of,
    stem,
    take_texts_in,
    texts_key,
)
from tunewright.pipeline.outputs import refuse_foreign
from tunewright.support.console import say
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, write_json, writing
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier
    from tunewright.pipeline.project import Project
    from tunewright.registry.executions import Execution
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking

STEP = "infer"
PROGRESS_S = 10.0


@dataclass(frozen=True, slots=True)
class Inferred:
    """A folder of answers."""

    folder: Path
    summary: AnswerSummary
    fresh: bool
    """Whether the answers were made now; False where the same request had been answered before."""


def infer(
    project: Project,
    source: str,
    overrides: Sequence[str] = (),
    *,
    model: str | None = None,
    out: Path | None = None,
    base_dir: Path | None = None,
    prepared: Path | None = None,
    force: bool = False,
) -> Inferred:
    """Answer every text of a source; a killed inference goes on where it stopped.

    Args:
        project: The project whose model is asked.
        source: File, folder, pattern, fsspec URL or hub id.
        overrides: ``data.…=`` words that say how it is read. What the project's own configuration says of its
            training source doesn't count here; only the names of its columns do, where the source has them.
        model: ``NAME[@alias|/version]``; the project's champion by default.
        out: Folder to write; by default one below ``data/inferred``, named after source and request.
        base_dir: Where relative paths start; the working directory by default.
        prepared: What ``prepare_texts`` made of the source; used where the model wants its texts cleaned that way.
        force: Answer again, and replace answers that ``out`` holds.

    Raises:
        InputError: When source or model can't be found, or ``out`` holds something else.
        TunewrightError: When the answers can't be made or written.
    """
    from tunewright.registry.references import find_version
    from tunewright.registry.tracking import connect

    tracking = connect(project.last_recipe(), project.paths)
    version = find_version(tracking, model or "")
    request = request_of(project, source, overrides, version, base_dir or Path.cwd())
    work = project.paths.state / "inference" / request.key
    # A few locks for all requests: one a request would leave a file behind for each.
    with locked(work.parent / f"{request.key[:2]}.lock", what="this inference"):
        folder = out.resolve() if out else _default_folder(project, request)
        if not force and (known := _answered(folder, request)):
            return Inferred(folder, known, fresh=False)
        refuse_foreign(folder, SUMMARY, force=force)
        if force:
            shutil.rmtree(work, ignore_errors=True)
        summary = _answer(project, tracking, request, work, folder, prepared)
        shutil.rmtree(work, ignore_errors=True)
    return Inferred(folder, summary, fresh=True)


def _default_folder(project: Project, request: Request) -> Path:
    """Return the folder of this request: the one that holds it, whatever its source was called then, or a new one."""
    root = project.paths.root / "data" / "inferred"
    short = request.key[:KEY_CHARACTERS]
    known = next(iter(sorted(root.glob(f"*-{short}/{SUMMARY}"))), None)
    if known is not None:
        return known.parent
    return root / f"{stem(request)}-{short}"


def _answered(folder: Path, request: Request) -> AnswerSummary | None:
    """Return what a folder says when it holds the whole answer to this very request."""
    if not (folder / SUMMARY).is_file():
        return None
    summary = read_summary(folder)
    if summary.key != request.key:
        return None
    if _digest(folder) != summary.digest:
        raise InputError(
            "its files are not those that were written", place=str(folder), mend="add --force to answer again"
        )
    return summary


def _answer(
    project: Project,
    tracking: Tracking,
    request: Request,
    work: Path,
    folder: Path,
    prepared: Path | None,
) -> AnswerSummary:
    """Take the texts in, ask the model piece by piece, and put the answers in their place."""
    from tunewright.config.data import Cleaning
    from tunewright.registry.executions import execution
    from tunewright.registry.models import load

    started = time.perf_counter()
    attempt = work / "run.json"
    earlier = read_json(attempt)["run_id"] if attempt.is_file() else None
    tags = {"source_digest": request.source_digest, "model": request.version.reference}
    params = {"source": request.reading.source, "model_uri": request.version.uri}
    with execution(tracking, STEP, params=params, tags=tags, resume=earlier) as run:
        write_json(attempt, {"run_id": run.run_id})
        for left in (*work.glob(".texts.*"), *(work / "answers").glob(".part-*")):  # of a killed attempt
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        classifier = load(tracking, request.version.reference)
        cleaning = Cleaning.model_validate(classifier.cleaning)
        if not (work / "texts" / TAKEN).is_file():
            if prepared is not None and prepared.name.endswith(texts_key(project, request, cleaning)):
                shutil.copytree(prepared, work / "texts", dirs_exist_ok=True)
            else:
                take_texts_in(project, request, cleaning, work / "texts")
        taken = Taken.model_validate(read_json(work / "texts" / TAKEN))
        _ask(classifier, request.version, work, taken.rows)
        with writing_parts(folder) as target:
            summary = _place(request, work, target, taken, run, classifier.label_names, started)
        _record(run, summary)
    return summary


def _ask(classifier: Classifier, version: Version, work: Path, rows: int) -> None:
    """Answer each piece that has no answers yet."""
    import pyarrow.parquet as pq

    pieces = sorted((work / "texts").glob("part-*.parquet"))
    done, told_at = 0, time.monotonic()
    for at, piece in enumerate(pieces):
        answers = work / "answers" / PART.format(at)
        if not answers.is_file():
            table = pq.read_table(piece)
            logits = classifier.logits(table["text"].to_pylist())
            names = classifier.label_names
            with writing(answers) as temporary:
                pq.write_table(
                    answer_table(table, logits, names, model=version.name, version=version.version), temporary
                )
            done += table.num_rows
            if time.monotonic() - told_at > PROGRESS_S:
                say(f"    {done:,} of {rows:,} rows answered")
                told_at = time.monotonic()


def _place(
    request: Request,
    work: Path,
    target: Path,
    taken: Taken,
    run: Execution,
    label_names: tuple[str, ...],
    started: float,
) -> AnswerSummary:
    """Write the answers of all pieces as few parts, with what is to be said of them."""
    count = Count(label_names)
    writer = PartWriter(target, rows=request.reading.shard_rows)
    for table in read_parts(work / "answers"):
        count.add(table["label"].to_pylist(), table["truth"].to_pylist())
        writer.add(table)
    writer.close()
    shutil.copyfile(work / "texts" / QUARANTINE, target / QUARANTINE)
    summary = AnswerSummary(
        key=request.key,
        source=taken.source,
        source_digest=request.source_digest,
        model=request.version.name,
        version=request.version.version,
        uri=request.version.uri,
        label_names=label_names,
        rows=count.rows,
        quarantined=taken.quarantined,
        labels=dict(count.answers.most_common()),
        measured=count.measured(),
        unknown_labels=dict(count.unknown.most_common()),
        seconds=round(time.perf_counter() - started, 3),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        run_id=run.run_id,
        digest=_digest(target),
    )
    write_json(target / SUMMARY, summary.model_dump(mode="json"))
    return summary


def _record(run: Execution, summary: AnswerSummary) -> None:
    """Put the figures on the run."""
    figures = {"rows": float(summary.rows), "quarantined": float(sum(summary.quarantined.values()))}
    if summary.measured:
        figures |= {"accuracy": summary.measured.accuracy, "f1_macro": summary.measured.f1_macro}
    run.metrics(figures, 0)
    run.json(SUMMARY, summary.model_dump(mode="json"))


def _digest(folder: Path) -> str:
    """Identify the files of a folder of answers, the summary aside."""
    files = sorted(item for item in folder.iterdir() if item.is_file() and item.name != SUMMARY)
    return digest_json([[item.name, digest_file(item)] for item in files])
