"""Models in MLflow: packaged, checked, logged whole or not at all, registered only when READY, loaded back."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from tunewright.registry.certificate import Certificate, replay
from tunewright.registry.ledger import Ledger
from tunewright.registry.logged import LoggedModel, Role, facts_of, tags_of, upload
from tunewright.registry.packaging import CERTIFICATE_FILE, CLASSIFIER_FOLDER, WEIGHTS, package
from tunewright.registry.references import Version, model_id_of, resolve, version_of
from tunewright.registry.storage import model_folder
from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.support.digests import digest_file
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import size_of

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier
    from tunewright.registry.executions import Execution

AnyCertificate = TypeVar("AnyCertificate", bound=BaseModel)
PROBABILITY_TOLERANCE = 1e-4
LANGUAGE_TASK = "llm/v1/chat"
"""The tag ``task`` of language models, and MLflow's word for them; its own default says "agent"."""


def log_classifier(
    run: Execution,
    classifier: Classifier,
    *,
    certificate: Certificate,
    role: Role = "tuned",
    queries: Sequence[str] = (),
    base: LoggedModel | None = None,
    tags: Mapping[str, object] | None = None,
) -> LoggedModel:
    """Package a classifier, check the package as plain MLflow opens it, and log it to the run.

    Nothing is left in MLflow when the check or the upload fails.

    Args:
        run: The execution that made it.
        classifier: What training left.
        certificate: Its recorded behaviour, replayed on the package before it is logged.
        role: Whether it is the tuned model or the base that it is compared with.
        queries: Texts that the package must answer as the classifier does; the probes when empty.
        base: For an adapter, the logged base whose weights it stands on.
        tags: Further facts for the logged model.

    Raises:
        InputError: When an adapter comes without its base.
        TunewrightError: When a query or the certificate fails, or the store does.
    """
    if classifier.is_adapter and (base is None or base.weights_sha256 is None):
        raise InputError(
            "an adapter needs its base in MLflow", mend="log the base first and pass it as base="
        )
    base_uri, base_sha = (base.uri, base.weights_sha256) if base and classifier.is_adapter else (None, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        with explained(run.tracking.uri):
            package(classifier, certificate, folder, base_uri=base_uri, base_weights_sha256=base_sha)
        _check_package(folder, classifier, certificate, queries)
        weights = folder / CLASSIFIER_FOLDER / WEIGHTS
        logged = LoggedModel(
            uri="",
            role=role,
            kind="lora" if classifier.is_adapter else "full",
            digest=classifier.digest(),
            weights_sha256=None if classifier.is_adapter else digest_file(weights),
            size_bytes=size_of(folder),
            run_id=run.run_id,
            certificate=certificate.digest,
            base_uri=base_uri,
            base_digest=base.digest if base and classifier.is_adapter else None,
            base_weights_sha256=base_sha,
        )
        with explained(run.tracking.uri):
            return upload(run, folder, logged, tags or {}, model_type="text-classification")


def register(
    tracking: Tracking, logged: LoggedModel, *, facts: Mapping[str, object] | None = None, who: str = ""
) -> Version:
    """Make a logged model a version of the project's registered model, and note it in the ledger.

    Args:
        tracking: Where.
        logged: What ``log_classifier`` gave.
        facts: Tags of the version, such as ``data_digest`` or ``metrics`` (mappings become JSON).
        who: Who registers, for the ledger; empty takes the user's name.

    Raises:
        TunewrightError: When the logged model isn't READY or isn't there.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client
    with explained(tracking.uri):
        status = str(client.get_logged_model(logged.model_id).status)
        if not status.endswith("READY"):
            raise TunewrightError(
                f"the logged model is {status}, not READY",
                place=logged.uri,
                mend="run the training step again: `tunewright run --from train --force`",
            )
        try:
            client.create_registered_model(tracking.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {**_run_facts(tracking, logged.run_id), **facts_of(logged), **tags_of(facts or {})}
        made = client.create_model_version(
            tracking.model_name,
            source=logged.uri,
            run_id=logged.run_id,
            tags=tags,
            model_id=logged.model_id,
        )
        version = version_of(client.get_model_version(tracking.model_name, made.version))
    Ledger(tracking.ledger).add("register", model=version.name, version=version.version, who=who)
    return version


def load(tracking: Tracking, reference: str = "") -> Classifier:
    """Load a classifier back from MLflow.

    Args:
        tracking: Where.
        reference: ``NAME``, ``NAME@alias``, ``NAME/3``, ``models:/…``; empty takes the project's champion.

    Raises:
        InputError: When the reference names nothing, or the base isn't the one of the adapter.
        TunewrightError: When its files are gone, or its weights are not those that were logged.
    """
    from tunewright.models.classifier import Classifier

    uri = resolve(tracking, reference).uri
    with explained(tracking.uri):
        tags = tracking.client.get_logged_model(model_id_of(uri)).tags
    if tags.get(PREFIX + "task") == LANGUAGE_TASK:
        raise InputError(
            "is a language model, no classifier",
            place=reference or "the champion",
            mend="ask it with `tunewright ask`, compare it with `tunewright evaluate MODEL DATA --against OTHER`",
        )
    base_folder = None
    if base_uri := tags.get(PREFIX + "base_uri"):
        base_folder = model_folder(tracking, base_uri) / CLASSIFIER_FOLDER
    folder = model_folder(tracking, uri) / CLASSIFIER_FOLDER
    classifier = Classifier.load(folder, base_folder=base_folder)
    require_certified(classifier.digest(), tags, folder)
    return classifier


def require_certified(digest: str, tags: Mapping[str, str], folder: Path) -> None:
    """Compare the weights of an opened model with those that were logged.

    Args:
        digest: Of the opened model's weights.
        tags: Of the logged model.
        folder: Where it lies, for the error.

    Raises:
        TunewrightError: When they differ.
    """
    if (recorded := tags.get(PREFIX + "digest")) and digest != recorded:
        raise TunewrightError(
            "the weights are not those that were certified",
            place=str(folder),
            mend="restore the folder, or train again: `tunewright run --from train --force`",
        )


def load_certificate(tracking: Tracking, reference: str = "") -> Certificate:
    """Load the certificate that lies beside a classifier's weights.

    Raises:
        TunewrightError: When there is none, or it is damaged.
    """
    return read_certificate(tracking, reference, Certificate)


def read_certificate(tracking: Tracking, reference: str, kind: type[AnyCertificate]) -> AnyCertificate:
    """Load the certificate of any kind that lies beside a model's weights.

    Raises:
        TunewrightError: When there is none, or it is damaged.
    """
    path = model_folder(tracking, resolve(tracking, reference).uri) / CERTIFICATE_FILE
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TunewrightError(
            "the certificate is missing or damaged", place=str(path), mend="train again"
        ) from error


def _check_package(
    folder: Path, classifier: Classifier, certificate: Certificate, queries: Sequence[str]
) -> None:
    """Open the package as plain MLflow does; its answers must be those of the classifier."""
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    texts = list(queries) or [probe.text for probe in certificate.probes]
    try:
        opened = mlflow.pyfunc.load_model(str(folder))
        answers = opened.predict(texts)
        replay(certificate, opened.unwrap_python_model())
    except (MlflowException, ValueError, RuntimeError, OSError, KeyError, TypeError, IndexError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise refused(f"plain MLflow can't use it ({first[:200]})") from error
    for text, expected, label, probability in zip(
        texts, classifier.predict(texts), answers["label"], answers["probability"], strict=True
    ):
        excerpt = repr(text[:40])
        if not math.isfinite(probability) or label not in classifier.label_names:
            raise refused(f"query {excerpt} gets the answer {label} with probability {probability}")
        if abs(float(probability) - expected.probability) > PROBABILITY_TOLERANCE:
            raise refused(
                f"query {excerpt} gets {label} {probability:.4f}, "
                f"the classifier says {expected.label} {expected.probability:.4f}"
            )


def refused(fact: str) -> TunewrightError:
    """Say that the model isn't logged."""
    return TunewrightError(
        fact, place="validation queries", mend="the model was not logged; nothing was left"
    )


def _run_facts(tracking: Tracking, run_id: str) -> dict[str, str]:
    """Take over what the run knows: commit, digests, last figures."""
    data = tracking.client.get_run(run_id).data
    names = ("commit", "dirty", "recipe_digest", "data_digest", "step")
    known = {PREFIX + name: data.tags[PREFIX + name] for name in names if PREFIX + name in data.tags}
    return {**known, **tags_of({"metrics": dict(data.metrics)})}
