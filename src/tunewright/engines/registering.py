"""Converted copies in MLflow: the chosen one lies beside the weights of its model version, with the verdict on it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.copies import MANIFEST, verify
from tunewright.engines.interface import Form
from tunewright.registry.references import find_version, model_id_of
from tunewright.registry.storage import local_folder
from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.support.errors import TunewrightError
from tunewright.support.files import writing_folder
from tunewright.support.machine import processor_mark

if TYPE_CHECKING:
    from tunewright.registry.references import Version

FOLDER = "engines"
"""Below the logged model's files."""
ENGINE_TAG, VERDICT_TAG, PROCESSOR_TAG = "engine", "engine_verdict", "engine_processor"


def place_of(form: Form) -> str:
    """Return where a copy lies below the logged model's files."""
    return f"{FOLDER}/{form.engine}-{form.precision}"


def attach(tracking: Tracking, version: Version, copy: Path, form: Form, verdict: str) -> None:
    """Put a copy beside the weights of a model version and make it the one that serving takes.

    Args:
        tracking: Where.
        version: The version that it is a copy of.
        copy: The copy's folder.
        form: Engine and precision.
        verdict: What was found about it, in a line.

    Raises:
        TunewrightError: When the store fails.
    """
    client = tracking.client
    with explained(tracking.uri), tempfile.TemporaryDirectory() as name:
        shutil.copytree(copy, Path(name) / place_of(form))
        client.log_model_artifacts(model_id_of(version.uri), name)
        # The tag comes last: who reads it finds the copy whole.
        tags = {VERDICT_TAG: verdict, PROCESSOR_TAG: processor_mark(), ENGINE_TAG: str(form)}
        for tag, value in tags.items():
            client.set_model_version_tag(version.name, str(version.version), PREFIX + tag, value)


def is_proved_here(version: Version) -> bool:
    """Tell whether a version's copy was proved on a processor like this one: others have other kernels."""
    return version.facts.get(PROCESSOR_TAG) == processor_mark()


def attached(tracking: Tracking, reference: str = "") -> tuple[Version, Path | None]:
    """Find the copy that a version is served with; None where it was never optimised.

    Args:
        tracking: Where.
        reference: ``NAME``, ``NAME@alias``, ``NAME/3``; empty takes the project's champion.

    Raises:
        InputError: When the reference names nothing.
        TunewrightError: When the copy is gone or damaged.
    """
    version = find_version(tracking, reference)
    word = version.facts.get(ENGINE_TAG)
    if not word:
        return version, None
    form = Form.parse(word)
    folder = _folder(tracking, version, form)
    if not (folder / MANIFEST).is_file():
        raise TunewrightError(
            f"its copy for {form} is gone",
            place=str(folder),
            mend=f"make it again: `tunewright optimize {version.reference}`",
        )
    verify(folder)
    return version, folder


def _folder(tracking: Tracking, version: Version, form: Form) -> Path:
    """Return the folder of a copy; that of a server is fetched once and kept."""
    import mlflow
    from mlflow.exceptions import MlflowException

    model_id = model_id_of(version.uri)
    with explained(tracking.uri):
        location = tracking.client.get_logged_model(model_id).artifact_location
    if (local := local_folder(location)) is not None:
        return local / place_of(form)
    folder = tracking.state / "cache" / FOLDER / model_id / Path(place_of(form)).name
    with tracking.locked(f"engine-{model_id}", what=f"the copy of {version.reference}"):
        if not (folder / MANIFEST).is_file():
            try:
                with writing_folder(folder) as fresh:
                    found = mlflow.artifacts.download_artifacts(
                        artifact_uri=f"{version.uri}/{place_of(form)}", tracking_uri=tracking.uri
                    )
                    shutil.copytree(found, fresh, dirs_exist_ok=True)
            except (MlflowException, OSError) as error:
                raise TunewrightError(
                    "its copy can't be fetched",
                    place=version.reference,
                    mend="run `tunewright optimize` again",
                ) from error
    return folder
