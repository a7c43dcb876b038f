"""A classifier as an MLflow model folder that opens without tunewright."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import TunewrightError
from tunewright.support.files import write_json

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier
    from tunewright.registry.certificate import Certificate

CLASSIFIER_FOLDER = "artifacts/classifier"
LANGUAGE_FOLDER = "artifacts/model"
"""Where a language model lies (language_packaging.py)."""
CERTIFICATE_FILE = "artifacts/certificate.json"
WEIGHTS = "model.safetensors"
BATCH_SIZE = 32
PACKAGES = ("mlflow", "torch", "transformers", "safetensors", "numpy", "pandas")
EXAMPLE_ROWS = 2


def package(
    classifier: Classifier,
    certificate: Certificate,
    folder: Path,
    *,
    base_uri: str | None = None,
    base_weights_sha256: str | None = None,
) -> None:
    """Write the model folder: weights once, cleaning, certificate, signature, example, requirements.

    Follows MLflow's "models from code": the folder holds ``pyfunc_model.py`` as text, no pickle.

    Args:
        classifier: What to package.
        certificate: Its recorded behaviour; two of its probes are the input example.
        folder: Where to write; must not exist.
        base_uri: For an adapter, the logged model that holds its base.
        base_weights_sha256: For an adapter, the digest of the base's weight file.
    """
    import mlflow.pyfunc

    config: dict[str, Any] = {
        "label_names": list(classifier.label_names),
        "max_length": classifier.max_length,
        "batch_size": BATCH_SIZE,
    }
    if classifier.is_adapter:
        config |= {"base_uri": base_uri, "base_weights_sha256": base_weights_sha256}
    with tempfile.TemporaryDirectory() as name:
        parts = Path(name)
        classifier.save(parts / "classifier")
        write_json(parts / "certificate.json", certificate.model_dump(mode="json"))
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=file_of("tunewright.registry.pyfunc_model"),
            artifacts={
                "classifier": str(parts / "classifier"),
                "certificate": str(parts / "certificate.json"),
                "text_cleaning": file_of("tunewright.data.text_cleaning"),
            },
            signature=_signature(),
            input_example=[probe.text for probe in certificate.probes[:EXAMPLE_ROWS]],
            pip_requirements=requirements(adapter=classifier.is_adapter),
            model_config=config,
        )


def requirements(*, adapter: bool) -> list[str]:
    """List the packages that a classifier needs, with the exact versions installed here."""
    return versions(*PACKAGES, *(["peft"] if adapter else []))


def versions(*names: str) -> list[str]:
    """Return requirements on the exact versions of packages that are installed here."""
    # A local build such as 2.13.0+cpu is no version that an index serves.
    return [f"{name}=={importlib.metadata.version(name).split('+', 1)[0]}" for name in names]


def file_of(module: str) -> str:
    """Return the path of a module without running it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise TunewrightError(f"the installation lacks {module}", mend="install tunewright again")
    return spec.origin


def _signature() -> Any:  # noqa: ANN401
    """Describe input and output: one string a row in, label and probability out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([ColSpec(DataType.string, "label"), ColSpec(DataType.double, "probability")]),
        params=ParamSchema([ParamSpec("probabilities", DataType.boolean, default=False)]),
    )
