"""Freeing what nothing needs any more: the weights of deleted and unregistered models."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.registry.ledger import Ledger
from tunewright.registry.references import MODEL_ID, MODEL_URI, model_id_of
from tunewright.registry.storage import local_folder, remove_model
from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.registry.versions import DELETED_TAG
from tunewright.support.files import size_of

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

GRACE_S = 3600.0
"""A model younger than this may still be on its way to be registered."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge removed, or would remove."""

    models: tuple[str, ...]
    """``models:/m-…``."""
    freed_bytes: int
    kept: int
    """Models of the experiment that stay."""


def purge(
    tracking: Tracking,
    *,
    keep: Collection[str] = (),
    grace_s: float = GRACE_S,
    dry_run: bool = False,
    who: str = "",
) -> Purged:
    """Remove the files of models that no version and no adapter needs, and say how many bytes that frees.

    Deleting versions, models and runs in MLflow leaves every weight file; this removes the files of models
    whose version ``delete`` removed, of models that were never registered, and of models that were deleted
    in MLflow itself (their files lie on under a local store). A registered model, the base of one that
    stays, one in ``keep``, and one whose run is still going are never touched.

    Args:
        tracking: Where.
        keep: Further addresses ``models:/m-…`` that stay, such as those in the steps' pointer files.
        grace_s: Unregistered models younger than this stay, unless their version was deleted.
        dry_run: Only say what would go.
        who: Who purges, for the ledger; empty takes the user's name.

    Raises:
        TunewrightError: When the store fails.
    """
    with tracking.locked("purge", what="the purge of models"), explained(tracking.uri):
        models = _logged_models(tracking)
        needed = _registered(tracking) | {uri.removeprefix(MODEL_URI) for uri in keep}
        staying = [
            item for item in models if item.model_id in needed or not _is_left_over(tracking, item, grace_s)
        ]
        stay = {item.model_id for item in staying} | needed
        stay |= {
            model_id_of(base) for item in staying if (base := item.tags.get(PREFIX + "base_uri")) is not None
        }
        leaving = [item for item in models if item.model_id not in stay]
        orphans = _orphans(tracking, {item.model_id for item in models} | stay)
        freed = sum(_size(item) for item in leaving) + sum(size_of(folder) for folder in orphans)
        names = (*(item.model_id for item in leaving), *(folder.name for folder in orphans))
        if not dry_run:
            for item in leaving:
                remove_model(tracking, item.model_id)
            for folder in (*orphans, *(tracking.state / "cache" / "models" / name for name in names)):
                shutil.rmtree(folder, ignore_errors=not folder.exists())
            if names:
                Ledger(tracking.ledger).add(
                    "purge",
                    model=tracking.model_name,
                    reason=f"{len(names)} models, {freed} bytes: {', '.join(names)}",
                    who=who,
                )
    return Purged(tuple(MODEL_URI + name for name in names), freed, len(models) - len(leaving))


def _logged_models(tracking: Tracking) -> list[LoggedModel]:
    """List the experiment's logged models."""
    found: list[LoggedModel] = []
    token: str | None = None
    while True:
        page = tracking.client.search_logged_models([tracking.experiment_id], page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _registered(tracking: Tracking) -> set[str]:
    """List the logged models behind every version of every registered model, and their bases."""
    ids: set[str] = set()
    token: str | None = None
    while True:
        page = tracking.client.search_model_versions(page_token=token)
        for version in page:
            ids |= set(MODEL_ID.findall(f"{version.model_id} {version.source}"))
            ids |= set(MODEL_ID.findall(version.tags.get(PREFIX + "base_uri", "")))
        token = page.token
        if not token:
            return ids


def _is_left_over(tracking: Tracking, model: LoggedModel, grace_s: float) -> bool:
    """Tell whether an unregistered model was deleted, or is old and its run has ended."""
    if DELETED_TAG in model.tags:
        return True
    if time.time() - model.creation_timestamp / 1000 < grace_s:
        return False
    return not model.source_run_id or tracking.client.get_run(model.source_run_id).info.status != "RUNNING"


def _orphans(tracking: Tracking, known: set[str]) -> list[Path]:
    """List folders of a local store whose model was deleted in MLflow."""
    if not tracking.is_local:
        return []
    folder = local_folder(tracking.client.get_experiment(tracking.experiment_id).artifact_location)
    if folder is None or not (folder / "models").is_dir():
        return []
    return [
        item
        for item in sorted((folder / "models").iterdir())
        if MODEL_ID.fullmatch(item.name) and item.name not in known
    ]


def _size(model: LoggedModel) -> int:
    """Return the bytes of a model's files; for a remote store those that were recorded."""
    folder = local_folder(model.artifact_location)
    if folder is None:
        return int(model.tags.get(PREFIX + "size_bytes", 0))
    return size_of(folder) if folder.exists() else 0
