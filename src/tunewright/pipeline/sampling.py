"""Choose the rows worth labelling among those that a model has answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.parts import writing_parts
from tunewright.data.selection import (
    MANIFEST,
    Histogram,
    SelectedRow,
    Selection,
    SelectionManifest,
    digest_rows,
    save_selection,
)
from tunewright.evaluation.answers import SUMMARY, AnswerSummary, read_summary
from tunewright.evaluation.uncertainty import STRATEGIES, Picks, Strategy, pick
from tunewright.pipeline.outputs import refuse_foreign
from tunewright.pipeline.pool import TO_LABEL, Pool, free_rows, read_pool, rows_at
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, nearest
from tunewright.support.files import write_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.pipeline.project import Project
    from tunewright.registry.executions import Execution
    from tunewright.registry.tracking import Tracking

STEP = "sample"
KEY_CHARACTERS = 8
BINS = 20
ANSWERS = Path("data/inferred")
REPORTS = Path("sampling")


@dataclass(frozen=True, slots=True)
class Settings:
    """How rows are chosen."""

    rows: int
    strategy: Strategy
    random_share: float
    """Share drawn at random from the whole pool, as a control."""
    seed: int
    repeat: bool
    """Whether rows of other selections may be chosen again."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A selection and where its histogram lies."""

    selection: Selection
    report: Path
    fresh: bool
    """Whether it was made now."""


class NothingToLabelError(InputError):
    """Every text of the answers is known already."""


def sample(
    project: Project,
    answers: Path | None,
    settings: Settings,
    *,
    out: Path | None = None,
    force: bool = False,
) -> Sampled:
    """Choose rows to label, none of whose texts the project's data set holds already, and no text twice.

    Texts are the same when they differ only in case, white space or punctuation (``data.normal_form.key_form``): so no
    chosen row can be a twin of a frozen test row.

    Args:
        project: The project; its data set says what is known.
        answers: A folder that ``infer`` wrote; the newest below ``data/inferred`` by default.
        settings: How to choose.
        out: Folder to write; by default one below ``data/to_label``.
        force: Replace a selection that ``out`` holds.

    Raises:
        InputError: When there are no answers or no data set.
        NothingToLabelError: When no row is left to choose.
    """
    from tunewright.registry.executions import execution
    from tunewright.registry.tracking import connect

    _check(settings)
    pool_folder = answers.resolve() if answers else _newest(project)
    summary, data = read_summary(pool_folder), project.dataset().manifest
    key = digest_json([summary.digest, data.digest, _facts(settings)])
    short = key[:KEY_CHARACTERS]
    folder = (
        out.resolve()
        if out
        else project.paths.root / TO_LABEL / f"{pool_folder.name}-{settings.strategy}-{short}"
    )
    report = project.paths.reports / REPORTS / f"{folder.name}.html"
    if not force and (folder / MANIFEST).is_file():
        known = Selection.load(folder)
        if known.manifest.key == key:
            return Sampled(known, report, fresh=False)
    refuse_foreign(folder, MANIFEST, force=force)
    tracking = connect(project.last_recipe(), project.paths)
    tags = {"model": f"{summary.model}/{summary.version}", "data_digest": data.digest}
    with execution(tracking, STEP, params=_facts(settings), tags=tags) as run:
        pool = read_pool(pool_folder, settings.strategy)
        free, left_out = free_rows(project, pool, folder, repeat=settings.repeat)
        if not len(free):
            raise NothingToLabelError(
                f"none of its {summary.rows:,} rows is left to label ({_listed(left_out)})",
                place=str(pool_folder),
                mend="infer other texts" + ("" if settings.repeat else ", or add --repeat"),
            )
        picks = pick(
            pool.scores,
            free,
            rows=settings.rows,
            strategy=settings.strategy,
            random_share=settings.random_share,
            seed=settings.seed,
            embed=lambda positions: _embedded(tracking, summary, pool_folder, positions),
        )
        rows = tuple(_selected(pool_folder, pool, picks, settings.strategy))
        manifest = SelectionManifest(
            key=key,
            answers=_from(pool_folder, project),
            answers_digest=summary.digest,
            data_digest=data.digest,
            model=summary.model,
            version=summary.version,
            uri=summary.uri,
            label_names=summary.label_names,
            strategy=settings.strategy,
            random_share=settings.random_share,
            seed=settings.seed,
            pool=summary.rows,
            left_out=left_out,
            rows=len(rows),
            control=int(picks.control.sum()),
            histogram=_histogram(pool, picks),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            digest=digest_rows(rows),
        )
        _write(folder, report, manifest, rows, run)
    return Sampled(Selection(folder, manifest, rows), report, fresh=True)


def _check(settings: Settings) -> None:
    """Refuse settings that mean nothing."""
    if settings.strategy not in STRATEGIES:
        raise InputError(
            "is no strategy",
            place=f"--strategy {settings.strategy}",
            mend=f"{nearest(settings.strategy, list(STRATEGIES))} known: {', '.join(STRATEGIES)}".strip(),
        )
    if settings.rows < 1:
        raise InputError("is less than one", place=f"--rows {settings.rows}", mend="ask for a row at least")
    if not 0 <= settings.random_share <= 1:
        raise InputError("is no share", place=f"--random-share {settings.random_share:g}", mend="give 0 to 1")


def _facts(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in Settings.__slots__}


def _newest(project: Project) -> Path:
    """Return the folder of the answers that were made last."""
    found = [path.parent for path in (project.paths.root / ANSWERS).glob(f"*/{SUMMARY}")]
    if not found:
        raise InputError(
            "holds no answers", place=str(project.paths.root / ANSWERS), mend="run `tunewright infer SOURCE`"
        )
    return max(found, key=lambda folder: (read_summary(folder).created, folder.name))


def _embedded(
    tracking: Tracking, summary: AnswerSummary, folder: Path, positions: npt.NDArray[np.int64]
) -> np.ndarray:
    """Ask the model that gave the answers how it sees some of the texts."""
    import numpy as np

    from tunewright.registry.models import load

    texts = {at: str(row["text"]) for at, row in rows_at(folder, np.sort(positions), ("text",))}
    vectors: np.ndarray = load(tracking, summary.uri).features([texts[int(at)] for at in positions])
    return vectors


def _selected(folder: Path, pool: Pool, picks: Picks, strategy: Strategy) -> Iterator[SelectedRow]:
    """Give the chosen rows in the order of the pool."""
    from tunewright.registry.lineage import row_digest

    columns = ("row", "source", "text", "label", "confidence", "model", "version")
    found = rows_at(folder, picks.positions, columns)
    for (at, facts), control in zip(found, picks.control.tolist(), strict=True):
        yield SelectedRow(
            id=f"row-{row_digest(str(facts['text']))}",
            suggested=facts.pop("label"),  # type: ignore[arg-type]
            score=float(pool.scores[at]),
            strategy="random" if control else strategy,
            **facts,  # type: ignore[arg-type]
        )


def _histogram(pool: Pool, picks: Picks) -> Histogram:
    """Count the pool, the choice and the control share by uncertainty."""
    import numpy as np

    edges = np.linspace(0, 1, BINS + 1)

    def counts(scores: npt.NDArray[np.float64]) -> tuple[int, ...]:
        return tuple(np.histogram(scores, edges)[0].tolist())

    return Histogram(
        edges=tuple(edges.round(4).tolist()),
        pool=counts(pool.scores),
        chosen=counts(pool.scores[picks.positions[~picks.control]]),
        control=counts(pool.scores[picks.positions[picks.control]]),
    )


def _write(
    folder: Path, report: Path, manifest: SelectionManifest, rows: tuple[SelectedRow, ...], run: Execution
) -> None:
    """Write selection and page, and put both on the run."""
    from tunewright.evaluation.sampling_page import render_selection

    write_text(report, render_selection(manifest, rows))
    run.artifact(report)
    run.metrics({"rows": float(manifest.rows), "pool": float(manifest.pool)}, 0)
    run.tags({"selection_digest": manifest.digest})
    with writing_parts(folder) as target:
        save_selection(target, manifest, rows)


def _from(folder: Path, project: Project) -> str:
    """Name a folder from the project's root where it lies inside."""
    inside = folder.is_relative_to(project.paths.root)
    return (folder.relative_to(project.paths.root) if inside else folder).as_posix()


def _listed(left_out: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {rows:,}" for reason, rows in left_out.items())
