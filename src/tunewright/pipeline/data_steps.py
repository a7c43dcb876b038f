"""The steps that give data: thin calls into the data room, each a run in MLflow and a line for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.pipeline.executing import executing
from tunewright.pipeline.steps import FROZEN, LABELLED
from tunewright.support.console import say

if TYPE_CHECKING:
    from tunewright.pipeline.job import Job

QUARANTINE = "data/quarantine.jsonl"


def ingest(job: Job) -> None:
    """Read the source into ``data/interim/rows`` and say how it was read.

    Whether its rows are a language model's is told by the recipe here, and by what they are in the steps that follow.
    """
    from tunewright.data.additions import batches
    from tunewright.data.chat.ingesting import ingest_chat
    from tunewright.data.ingest import ingest as ingest_labelled

    read = ingest_chat if job.recipe.trains_language_model else ingest_labelled
    with executing(job, "ingest") as run:
        summary = read(
            job.recipe.data,
            base_dir=job.paths.root,
            out=job.paths.interim / "rows",
            additions=batches(job.paths.root / LABELLED),
        )
        run.metrics({"rows": summary.rows}, 0)
    facts = summary.facts
    how = [part for part in (facts.format, facts.encoding) if part]
    if facts.chat_format is None:
        how = [*how, f"text in '{facts.text_column}'", f"label in '{facts.label_column}'"]
    else:
        how = [*how, *(f"{kind} {rows:,}" for kind, rows in summary.labels.items())]
    say(f"    {summary.rows:,} rows ({', '.join(how)})")
    for note in facts.notes:
        say(f"    note: {note}")


def clean(job: Job) -> None:
    """Clean ``data/interim/rows`` into ``data/interim/clean``."""
    from tunewright.data.cleaning import clean as run_cleaning

    with executing(job, "clean") as run:
        counts = run_cleaning(
            job.paths.interim / "rows", job.recipe.data.cleaning, out=job.paths.interim / "clean"
        )
        run.metrics({f"changed/{name}": count for name, count in counts.items()}, 0)
    changed = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    say(f"    rows changed: {changed or 'none'}")
    if job.recipe.trains_language_model and counts["whitespace"]:
        say(
            "    note: data.cleaning.whitespace joined the lines of turns; with data=chat they stay as they are"
        )


def validate(job: Job) -> None:
    """Judge every row: good ones to ``data/interim/valid``, bad ones to the quarantine file."""
    from tunewright.data.validation import validate as judge

    with executing(job, "validate") as run:
        summary = judge(
            job.paths.interim / "clean",
            job.recipe.data.validation,
            out=job.paths.interim / "valid",
            quarantine=job.paths.root / QUARANTINE,
        )
        run.metrics({"rows": summary.kept, "quarantined": sum(summary.quarantined.values())}, 0)
    aside = ", ".join(f"{reason} {count:,}" for reason, count in summary.quarantined.items())
    say(f"    {summary.kept:,} good rows; set aside: {aside or 'none'}")


def split(job: Job) -> None:
    """Freeze the splits in ``data/processed`` and draw the data card."""
    from tunewright.data.card import write_card
    from tunewright.data.frozen import read_frozen
    from tunewright.data.splitting import split as freeze

    card = job.paths.reports / "data.html"
    with executing(job, "split") as run:
        dataset = freeze(
            job.paths.interim / "valid",
            job.recipe.data,
            seed=job.recipe.seed,
            out=job.paths.processed,
            frozen=read_frozen(job.paths.root / FROZEN),
        )
        write_card(dataset, card)
        run.log_dataset(dataset)
        run.metrics({f"rows/{name}": rows for name, rows in dataset.manifest.splits.items()}, 0)
        run.artifact(card)
    sizes = ", ".join(f"{name} {rows:,}" for name, rows in dataset.manifest.splits.items())
    leaks = ", ".join(f"{kind} {count}" for kind, count in dataset.manifest.leaks.items())
    say(f"    {sizes}; on both sides: {leaks}")
