"""A language model as an MLflow model folder (``llm/v1/chat``) that opens without tunewright."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.registry.models import LANGUAGE_TASK
from tunewright.registry.packaging import file_of, versions
from tunewright.support.files import write_json

if TYPE_CHECKING:
    from tunewright.models.language.model import LanguageModel
    from tunewright.registry.language_certificate import LanguageCertificate

PACKAGES = ("mlflow", "torch", "transformers", "safetensors", "accelerate", "huggingface-hub", "jinja2")
CHUNK = 1 << 20
EXAMPLE_TOKENS = 32


def package(
    model: LanguageModel,
    certificate: LanguageCertificate,
    folder: Path,
    *,
    base_uri: str | None = None,
    base_weights_sha256: str | None = None,
) -> None:
    """Write the model folder: weights once, certificate, chat signature, example, requirements.

    Follows MLflow's "models from code": the folder holds ``chat_model.py`` as text, no pickle.

    Args:
        model: What to package.
        certificate: Its recorded behaviour; one of its probes is the input example.
        folder: Where to write; must not exist.
        base_uri: For an adapter, the logged model that holds its base, or the hub id.
        base_weights_sha256: For an adapter, the digest of the base's weight files (``weights_digest``).
    """
    import mlflow.pyfunc

    config: dict[str, Any] = {"load_in": model.load_in}
    if model.is_adapter:
        config |= {
            "base_uri": base_uri,
            "base_revision": model.base.revision if model.base else None,
            "base_weights_sha256": base_weights_sha256,
            "embedding_rows": model.model.get_input_embeddings().num_embeddings,
        }
    with tempfile.TemporaryDirectory() as name:
        parts = Path(name)
        model.save(parts / "model")
        write_json(parts / "certificate.json", certificate.model_dump(mode="json"))
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=file_of("tunewright.registry.chat_model"),
            artifacts={"model": str(parts / "model"), "certificate": str(parts / "certificate.json")},
            input_example=_example(certificate),
            metadata={"task": LANGUAGE_TASK},
            pip_requirements=_requirements(model),
            model_config=config,
        )


def weights_digest(folder: Path) -> str:
    """Return one SHA-256 over the weight files of a model folder, by name."""
    state = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        state.update(path.name.encode())
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                state.update(piece)
    return state.hexdigest()


def _requirements(model: LanguageModel) -> list[str]:
    """List the packages that the model needs, with the exact versions installed here."""
    names = [*PACKAGES, *(["peft"] if model.is_adapter else [])]
    return versions(*names, *(["bitsandbytes"] if model.load_in != "full" else []))


def _example(certificate: LanguageCertificate) -> dict[str, Any]:
    """Return a conversation to try the model with: the first probe's, without its answer."""
    from tunewright.models.chat.template import as_mapping

    row = certificate.probes[0].row
    messages = [as_mapping(each) for each in row.messages if each.role in {"system", "user"}][:2]
    asked = messages or [{"role": "user", "content": row.prompt or row.text[:200] or "Hello"}]
    if asked[-1]["role"] != "user":
        asked = [*asked, {"role": "user", "content": "Hello"}]
    return {"messages": asked, "max_tokens": EXAMPLE_TOKENS}
