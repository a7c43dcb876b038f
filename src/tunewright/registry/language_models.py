"""Language models in MLflow: packaged, checked as plain MLflow opens them, logged whole or not at all, loaded back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.models.language.generation import log_likelihoods, write_ids
from tunewright.models.language.model import LanguageModel
from tunewright.models.language.prompts import Prompt, prompt_of
from tunewright.registry.language_certificate import LanguageCertificate, replay
from tunewright.registry.language_packaging import package, weights_digest
from tunewright.registry.logged import LoggedModel, Role, upload
from tunewright.registry.models import LANGUAGE_TASK, read_certificate, refused, require_certified
from tunewright.registry.packaging import LANGUAGE_FOLDER
from tunewright.registry.references import model_id_of, resolve
from tunewright.registry.storage import model_folder
from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.support.errors import InputError
from tunewright.support.files import size_of

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.registry.executions import Execution


def log_language_model(
    run: Execution,
    model: LanguageModel,
    *,
    certificate: LanguageCertificate,
    role: Role = "tuned",
    base: LoggedModel | None = None,
    tags: Mapping[str, object] | None = None,
) -> LoggedModel:
    """Package a language model, replay its certificate on the package as plain MLflow opens it, and log it.

    An adapter is logged without its base's weights: with the address of the base and the digest of its weights.
    Nothing is left in MLflow when the check or the upload fails.

    Args:
        run: The execution that made it.
        model: What training left.
        certificate: Its recorded behaviour.
        role: Whether it is the tuned model or the base that it is compared with.
        base: For an adapter, the logged base.
        tags: Further facts for the logged model.

    Raises:
        InputError: When an adapter comes without its base.
        TunewrightError: When the certificate fails on the package, or the store does.
    """
    if model.is_adapter and base is None:
        raise InputError(
            "an adapter needs its base in MLflow", mend="log the base first and pass it as base="
        )
    adapted = base if model.is_adapter else None
    base_sha = adapted.weights_sha256 if adapted else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        with explained(run.tracking.uri):
            package(
                model,
                certificate,
                folder,
                base_uri=adapted.uri if adapted else None,
                base_weights_sha256=base_sha,
            )
        _check_package(folder, certificate)
        logged = LoggedModel(
            uri="",
            role=role,
            kind="lora" if model.is_adapter else "full",
            digest=model.digest(),
            weights_sha256=None if model.is_adapter else weights_digest(folder / LANGUAGE_FOLDER),
            size_bytes=size_of(folder),
            run_id=run.run_id,
            certificate=certificate.digest,
            base_uri=adapted.uri if adapted else None,
            base_digest=adapted.digest if adapted else None,
            base_weights_sha256=base_sha,
        )
        with explained(run.tracking.uri):
            return upload(
                run, folder, logged, {**(tags or {}), "task": LANGUAGE_TASK}, model_type=LANGUAGE_TASK
            )


def is_language_model(tracking: Tracking, reference: str = "") -> bool:
    """Tell whether a reference names a language model; else it names a classifier."""
    uri = resolve(tracking, reference).uri
    with explained(tracking.uri):
        return tracking.client.get_logged_model(model_id_of(uri)).tags.get(PREFIX + "task") == LANGUAGE_TASK


def load_language_model(tracking: Tracking, reference: str = "") -> LanguageModel:
    """Load a language model back from MLflow, an adapter on its base.

    Args:
        tracking: Where.
        reference: ``NAME``, ``NAME@alias``, ``NAME/3``, ``models:/…``; empty takes the project's champion.

    Raises:
        InputError: When the reference names nothing, or the base isn't the one of the adapter.
        TunewrightError: When its files are gone, or its weights are not those that were logged.
    """
    files = language_files(tracking, reference)
    model = LanguageModel.load(files.folder, base_folder=files.base_folder)
    require_certified(model.digest(), files.tags, files.folder)
    return model


@dataclass(frozen=True, slots=True)
class LanguageFiles:
    """Where a logged language model lies."""

    folder: Path
    """What ``LanguageModel.save`` wrote."""
    base_folder: Path | None
    """For an adapter: its base."""
    tags: Mapping[str, str]
    """Of the logged model."""


def language_files(tracking: Tracking, reference: str = "") -> LanguageFiles:
    """Find the files of a language model, and of an adapter's base; those of a server are fetched.

    Raises:
        InputError: When the reference names nothing.
        TunewrightError: When its files are gone.
    """
    uri = resolve(tracking, reference).uri
    with explained(tracking.uri):
        tags = tracking.client.get_logged_model(model_id_of(uri)).tags
    base_uri = tags.get(PREFIX + "base_uri")
    return LanguageFiles(
        folder=model_folder(tracking, uri) / LANGUAGE_FOLDER,
        base_folder=model_folder(tracking, base_uri) / LANGUAGE_FOLDER if base_uri else None,
        tags=tags,
    )


def load_language_certificate(tracking: Tracking, reference: str = "") -> LanguageCertificate:
    """Load the certificate that lies beside a model's weights.

    Raises:
        TunewrightError: When there is none, or it is damaged.
    """
    return read_certificate(tracking, reference, LanguageCertificate)


@dataclass(frozen=True, slots=True)
class Opened:
    """A package as plain MLflow opened it, in the words of the certificate."""

    inner: Any
    """The model of ``chat_model.py``."""
    chat: ChatTokenizer
    """Read from the package."""

    def prompt(self, row: ChatRow) -> Prompt:
        """Render as we do, and refuse when the package renders otherwise."""
        from tunewright.models.chat.template import as_mapping

        prompt = prompt_of(row, self.chat)
        if row.kind not in {"text", "completion"}:
            messages = list(row.messages)
            if not row.chosen and messages and messages[-1].role == "assistant":
                messages.pop()
            own = self.inner.prompt_ids([as_mapping(each) for each in messages], list(row.tools) or None)
            if tuple(own) != prompt.ids:
                raise refused("the package renders a prompt otherwise than training did")
        return prompt

    def write_ids(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_size: int
    ) -> list[list[int]]:
        """Let the package's weights write in batches; the first prompt also by the package's own code."""
        setup = self.chat.setup
        found = write_ids(
            self.inner.model,
            prompts,
            stop_ids=setup.stop_ids,
            pad_id=setup.pad_id,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            max_length=self.inner.max_length,
        )
        if found and found[0]:
            found[0] = self.inner.write(list(prompts[0]), max_new_tokens=max_new_tokens)
        return found

    def log_likelihoods(
        self, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]], batch_size: int
    ) -> list[list[float]]:
        """Score with the package's weights."""
        pad = self.chat.setup.pad_id
        return log_likelihoods(self.inner.model, sequences, masks, pad_id=pad, batch_size=batch_size)


def _check_package(folder: Path, certificate: LanguageCertificate) -> None:
    """Open the package as plain MLflow does and replay the certificate on it."""
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    from tunewright.models.chat.tokenizer import open_chat_tokenizer

    try:
        opened = mlflow.pyfunc.load_model(str(folder))
        inner = opened.get_raw_model()
    except (MlflowException, ValueError, RuntimeError, OSError, KeyError, TypeError, IndexError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise refused(f"plain MLflow can't use it ({first[:200]})") from error
    replay(certificate, Opened(inner, open_chat_tokenizer(folder / LANGUAGE_FOLDER)))
