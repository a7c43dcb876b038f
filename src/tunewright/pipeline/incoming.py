"""From new texts to versioned answers and rows to label: what Dagster does with a file that arrives, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tunewright.data.dataset import MANIFEST
from tunewright.data.incoming import TAKEN
from tunewright.evaluation.answers import SUMMARY, read_summary
from tunewright.pipeline.added_data import INFERENCE, LABELS, PREPARED, SELECTION, version
from tunewright.pipeline.arrivals import set_aside
from tunewright.pipeline.job import Job
from tunewright.pipeline.steps import FROZEN, LABELLED
from tunewright.support.errors import InputError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.evaluation.uncertainty import Strategy
    from tunewright.pipeline.inferring import Inferred
    from tunewright.pipeline.labelling import Imported
    from tunewright.pipeline.project import Project
    from tunewright.pipeline.sampling import Sampled

UNLABELLED = "data/unlabelled"
REFUSED = "data/refused"
"""Where files go that can't be read."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts that were read, cleaned and judged."""

    folder: Path
    rows: int
    quarantined: dict[str, int]


def prepare(project: Project, source: str, overrides: tuple[str, ...] = ()) -> Prepared:
    """Read, clean and judge texts once for the same content, into a folder below ``data/unlabelled``.

    A file of the incoming folder that can't be read is moved to ``data/refused`` with the reason.

    Raises:
        InputError: When it can't be read.
    """
    from tunewright.pipeline.inference_request import prepare_texts

    root = project.paths.root
    try:
        folder, taken = prepare_texts(project, source, overrides, below=root / UNLABELLED, base_dir=root)
    except InputError as error:
        moved = _refuse(project, source, str(error))
        if moved is None:
            raise
        raise InputError(error.fact, place=f"{moved} (moved there)", mend=error.mend) from error
    return Prepared(folder, taken.rows, dict(taken.quarantined))


def answer(project: Project, source: str, overrides: tuple[str, ...], prepared: Path) -> Inferred:
    """Let the champion answer prepared texts."""
    from tunewright.pipeline.inferring import infer

    return infer(project, source, overrides, base_dir=project.paths.root, prepared=prepared)


def choose(
    project: Project, answers: Path | None, *, rows: int | None = None, strategy: str | None = None
) -> Sampled | None:
    """Choose rows worth labelling; ``None`` when every text is known already."""
    from tunewright.pipeline.sampling import NothingToLabelError

    wanted = rows or project.compose().orchestration.sample_rows
    try:
        if strategy is None:
            return project.sample(answers, rows=wanted)
        return project.sample(answers, rows=wanted, strategy=cast("Strategy", strategy))
    except NothingToLabelError:
        return None


def version_outputs(project: Project, folders: list[Path]) -> list[str]:
    """Version prepared texts, answers and selections that lie in the project; returns the commits."""
    job = Job(project.last_recipe(), project.paths)
    commits = []
    for folder in (each for each in folders if each.resolve().is_relative_to(project.paths.root)):
        if (folder / TAKEN).is_file():
            made = version(job, PREPARED, [folder])
        elif (folder / SUMMARY).is_file():
            summary = read_summary(folder)
            made = version(job, INFERENCE, [folder], run_id=summary.run_id, digest=summary.digest)
        else:
            made = version(job, SELECTION, [folder], digest=str(read_json(folder / MANIFEST)["digest"]))
        commits += [made.commit] if made else []
    return commits


def join_batch(project: Project, batch: Imported) -> None:
    """Let the next run learn from a labelled batch: freeze where today's rows stand, and version both."""
    from tunewright.data.frozen import freeze

    root = project.paths.root
    freeze(project.dataset(), root / FROZEN)
    outputs = [root / LABELLED, root / FROZEN]
    version(Job(project.last_recipe(), project.paths), LABELS, outputs, digest=batch.summary.digest)


def version_data(project: Project) -> list[str]:
    """Commit and push what the steps gave and could not be committed or pushed before; returns the commits."""
    from tunewright.pipeline.history import commits
    from tunewright.pipeline.repository import Repository
    from tunewright.pipeline.runner import version_outstanding

    repository = Repository(project.paths.root)
    before = {each.commit for each in commits(repository)}
    version_outstanding(Job(project.last_recipe(), project.paths))
    return [each.commit for each in commits(repository) if each.commit not in before]


def _refuse(project: Project, source: str, reason: str) -> Path | None:
    """Move a file out of the incoming folder; one that lies elsewhere is the user's and stays."""
    root = project.paths.root
    path = root / source
    incoming = root / project.compose().orchestration.incoming
    if not path.is_file() or path.resolve().parent != incoming.resolve():
        return None
    return set_aside(path, root / REFUSED, reason)
