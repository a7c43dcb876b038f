"""Whether the tracking store still holds a logged model, asked in milliseconds: MLflow itself takes seconds to import.

Pointer files and ``dvc.lock`` travel with git, a local store doesn't; and a project may move to another store. A step
whose model the store lacks must run again although nothing that it reads has changed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tunewright.registry.packaging import CLASSIFIER_FOLDER, LANGUAGE_FOLDER
from tunewright.registry.server_client import Credentials, ServerClient
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.support.paths import ProjectPaths

TRACKING_URI = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
FIND_MODEL = "SELECT artifact_location FROM logged_models WHERE model_id = ? AND lifecycle_stage = 'active'"
DESCRIPTION = "MLmodel"
MEND_STORE = "restore it from a copy, or move it away and run `tunewright run`, which then trains again"


def store_uri(recipe: Recipe, paths: ProjectPaths) -> str:
    """Return the store's address: ``registry.tracking_uri``, else MLFLOW_TRACKING_URI, else the local SQLite."""
    configured = recipe.registry.tracking_uri or os.environ.get(TRACKING_URI)
    return configured or f"{SQLITE}{paths.state / 'mlflow.db'}"


def is_gone(uri: str, model_id: str) -> bool:
    """Tell whether the store at ``uri`` certainly lacks a logged model, or its files.

    Args:
        uri: Of the tracking store.
        model_id: ``m-…``.

    Returns:
        False where the store can't be asked cheaply or doesn't answer: the step that needs it will say so.

    Raises:
        TunewrightError: When a local database is damaged.
    """
    if uri.startswith(SQLITE):
        return _is_gone_from_file(Path(uri.removeprefix(SQLITE)), model_id)
    if uri.startswith(("http://", "https://")) and not urlsplit(uri).password:
        return ServerClient(uri).lacks_model(model_id, _credentials())
    return False


def _is_gone_from_file(database: Path, model_id: str) -> bool:
    if not database.is_file() or not database.stat().st_size:
        return True
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute(FIND_MODEL, (model_id,)).fetchone()
    except sqlite3.OperationalError:  # locked, or without tables yet: not a matter of this question
        return False
    except sqlite3.DatabaseError as error:
        raise TunewrightError(
            f"the tracking store is damaged ({error})", place=str(database), mend=MEND_STORE
        ) from error
    if found is None:
        return True
    location = urlsplit(found[0])
    folder = Path(unquote(location.path))
    return location.scheme == "file" and not (
        (folder / DESCRIPTION).is_file()
        and any(
            next((folder / kind).glob("*.safetensors"), None) for kind in (CLASSIFIER_FOLDER, LANGUAGE_FOLDER)
        )
    )


def _credentials() -> Credentials | None:
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return Credentials(name, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if name else None
