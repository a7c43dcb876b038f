"""Where the files of logged models lie, and how they are fetched and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tunewright.registry.references import model_id_of
from tunewright.registry.tracking import Tracking, explained
from tunewright.support.errors import TunewrightError
from tunewright.support.files import writing_folder


def model_folder(tracking: Tracking, uri: str) -> Path:
    """Return the folder with a logged model's files; those of a server are fetched once and kept.

    Args:
        tracking: Where.
        uri: ``models:/m-…``.

    Raises:
        TunewrightError: When its files are gone.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    model_id = model_id_of(uri)
    with explained(tracking.uri):
        location = tracking.client.get_logged_model(model_id).artifact_location
    folder = local_folder(location)
    if folder is None:
        folder = tracking.state / "cache" / "models" / model_id
        with tracking.locked(f"model-{model_id}", what=f"the copy of {uri}"):
            if not folder.is_dir():
                try:
                    with writing_folder(folder) as fresh:
                        mlflow.artifacts.download_artifacts(
                            artifact_uri=uri, dst_path=str(fresh), tracking_uri=tracking.uri
                        )
                except (MlflowException, OSError) as error:
                    raise TunewrightError(
                        "can't be fetched", place=uri, mend="look at the server's log"
                    ) from error
    if not (folder / "MLmodel").is_file():
        raise TunewrightError(
            "the model's files are gone",
            place=str(folder),
            mend="restore the folder, or train again: `tunewright run`",
        )
    return folder


def remove_model(tracking: Tracking, model_id: str) -> None:
    """Remove a logged model's files, then its record (the files can't be found without it)."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    location = tracking.client.get_logged_model(model_id).artifact_location
    if (folder := local_folder(location)) is None:
        get_artifact_repository(location, tracking_uri=tracking.uri).delete_artifacts()  # type: ignore[no-untyped-call]
    elif folder.exists():
        shutil.rmtree(folder.parent if folder.name == "artifacts" else folder)
    tracking.client.delete_logged_model(model_id)


def local_folder(location: str) -> Path | None:
    """Return the folder of an artefact location on this machine; None where a server or a cloud holds it."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    if not location.startswith(("file:", "/")):
        return None
    return Path(local_file_uri_to_path(location))  # type: ignore[no-untyped-call]
