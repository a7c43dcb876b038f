"""Bring back the data of an older version, prove that it is the same, and hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import MANIFEST, Dataset
from tunewright.pipeline.data_versions import DataVersion, files
from tunewright.pipeline.dvc_yaml import dump_yaml, load_yaml
from tunewright.pipeline.dvcfile import DVC_FILE, LOCK_FILE
from tunewright.pipeline.holding import Hold, hold
from tunewright.pipeline.steps import STEPS
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import write_text
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.support.paths import ProjectPaths

CARD = "data.html"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back."""

    commit: str
    digest: str
    """Recomputed from the rows, and equal to the one that the version has always had."""
    rows: int
    splits: dict[str, int]


def restore(version: DataVersion, paths: ProjectPaths, *, force: bool = False) -> Restored:
    """Put the data of a version in its place and hold it there; the source and the recipe stay as they are.

    Args:
        version: Which.
        paths: The project.
        force: Replace data that no version holds.

    Raises:
        InputError: When data that no version holds stands in the way.
        TunewrightError: When the bytes are not to be had, or are not those of the version.
    """
    from tunewright.data.splitting import digest_of_rows
    from tunewright.pipeline.dvc_remotes import checkout

    outputs = [path for step in STEPS for path in step.cached]
    for path in outputs:
        files(version, path, paths)
    with locked(paths.state / "run.lock", what="the run of this project"):
        lock = paths.root / LOCK_FILE
        before = lock.read_text(encoding="utf-8") if lock.is_file() else None
        write_text(lock, _merged(before, version))
        try:
            checkout(paths.root, outputs, force=force)
        except TunewrightError:
            if before is not None:
                write_text(lock, before)
            raise
        dataset = Dataset.load(paths.processed)
        digest = digest_of_rows(dataset)
        if digest != dataset.manifest.digest:
            raise TunewrightError(
                f"its rows have the digest {digest[:12]}, the manifest says {dataset.manifest.digest[:12]}",
                place=str(paths.processed / MANIFEST),
                mend="the cache is damaged: `tunewright data pull` where the data was pushed",
            )
        hold(
            paths,
            Hold(commit=version.commit, digest=digest, asked=version.asked, settings=version.settings()),
        )
        redraw_card(paths)
    return Restored(version.commit, digest, sum(dataset.manifest.splits.values()), dataset.manifest.splits)


def redraw_card(paths: ProjectPaths) -> None:
    """Draw the data card of data that came from the cache or a remote; the split step drew the same bytes."""
    from tunewright.data.card import write_card

    write_card(Dataset.load(paths.processed), paths.reports / CARD)


def _merged(lock: str | None, version: DataVersion) -> str:
    """Write a lock file whose steps that make data are those of a version."""
    present: dict[str, Any] = (load_yaml(lock) if lock else None) or {"schema": "2.0"}
    stages = dict(present.get("stages") or {})
    for step in STEPS:
        if step.cached:
            if step.name not in version.stages:
                raise InputError(
                    f"has no data of step {step.name}",
                    place=f"commit {version.commit[:10]}",
                    mend=f"choose a later one: `tunewright data log` ({DVC_FILE} was not complete)",
                )
            stages[step.name] = version.stages[step.name]
    return dump_yaml({**present, "stages": stages})
