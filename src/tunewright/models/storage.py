"""Saved classifiers: the folder layout, written atomically and checked when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from tunewright.models.checkpoints import inspect_checkpoint
from tunewright.models.heads import digest_weights, encoder_weights
from tunewright.models.tokenizers import quiet_transformers
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json, read_model, write_json, writing_folder

if TYPE_CHECKING:
    from collections.abc import Callable

DESCRIPTION = "classifier.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MEND = "save or fetch the classifier again"


class Description(BaseModel):
    """What ``classifier.json`` holds: all that the weights alone don't say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["full", "lora"]
    label_names: tuple[str, ...]
    max_length: int
    cleaning: dict[str, Any]
    base: dict[str, str] | None = None
    """``name`` and ``digest`` of the base model; for an adapter also ``encoder``, the digest of its weights."""

    @property
    def identity(self) -> dict[str, str] | None:
        """Name and digest of the base."""
        return {name: self.base[name] for name in self.base if name != "encoder"} if self.base else None


def save(model: Any, tokenizer: Any, description: Description, folder: Path) -> None:  # noqa: ANN401
    """Write a classifier's folder; on failure nothing changes.

    Raises:
        InputError: When ``folder`` holds something other than a classifier.
        TunewrightError: When it can't be written.
    """
    if folder.is_file() or (
        folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION).is_file()
    ):
        raise InputError("exists and is no saved classifier", place=str(folder), mend="choose another folder")
    from safetensors import SafetensorError

    try:
        with writing_folder(folder) as target, quiet_transformers():
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
            write_json(target / DESCRIPTION, description.model_dump(mode="json"))
            if description.kind == "lora":
                _forget_this_machine(target, (description.base or {}).get("name"))
    except (OSError, SafetensorError) as error:  # The latter on a full disk.
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: Exception) -> TunewrightError:
    """Say that a model can't be written, and why."""
    reason = getattr(error, "strerror", None) or error
    return TunewrightError(
        f"can't be written ({reason})", place=str(folder), mend="check space and permissions"
    )


def _forget_this_machine(folder: Path, base_name: str | None) -> None:
    """Name the base by its name instead of a path of this machine, and drop PEFT's empty model card."""
    path = folder / ADAPTER_CONFIG
    settings = read_json(path)
    write_json(path, settings | {"base_model_name_or_path": base_name})
    (folder / "README.md").unlink(missing_ok=True)


def open_saved(folder: Path, base_folder: Path | None) -> tuple[Description, Any, Any]:
    """Open a classifier's folder.

    Returns:
        Its description, tokenizer and model (fp32, in evaluation mode).

    Raises:
        InputError: When a file is missing or damaged, or the base is absent or another one.
    """
    from transformers import AutoTokenizer

    description = read_description(folder)
    tokenizer = _loading(folder, lambda: AutoTokenizer.from_pretrained(folder))
    if description.kind == "full":
        model = _open_model(folder, description)
    else:
        model = _open_adapter(folder, base_folder, description)
    # A raw base of an adapter may lack the padding id, without which decoders refuse batches.
    model.config.pad_token_id = tokenizer.pad_token_id
    return description, tokenizer, model.eval()


def read_description(folder: Path) -> Description:
    """Read ``classifier.json``.

    Raises:
        InputError: When it is missing or isn't one of this version.
    """
    absent = "name the folder of a saved classifier"
    return read_model(folder / DESCRIPTION, Description, absent=absent, mend=MEND)


def _open_model(folder: Path, description: Description) -> Any:  # noqa: ANN401
    """Open whole weights with a head for these labels; a head for others is left out."""
    import torch
    from transformers import AutoModelForSequenceClassification

    inspect_checkpoint(folder)
    return _loading(
        folder,
        lambda: AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(description.label_names),
            id2label=dict(enumerate(description.label_names)),
            label2id={name: number for number, name in enumerate(description.label_names)},
            dtype=torch.float32,
            attn_implementation="eager",
            ignore_mismatched_sizes=description.kind == "lora",
            local_files_only=True,
        ),
    )


def _open_adapter(folder: Path, base_folder: Path | None, description: Description) -> Any:  # noqa: ANN401
    """Open an adapter on its base, after comparing the base's encoder with the one trained on."""
    from peft import PeftModel
    from safetensors import SafetensorError

    identity = description.base or {}
    name = identity.get("name", "its base")
    if base_folder is None:
        raise InputError(
            "is an adapter and needs the model it was trained on",
            place=str(folder),
            mend=f"give the folder of {name}",
        )
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / file).is_file():
            raise InputError(f"has no {file}", place=str(folder), mend=MEND)
    model = _open_model(base_folder, description)
    if (found := digest_weights(encoder_weights(model))) != identity.get("encoder"):
        raise InputError(
            f"the encoder has digest {found[:12]}, the adapter was trained on {identity.get('encoder', 'none')[:12]}",
            place=str(base_folder),
            mend=f"give the folder of {name}",
        )
    try:
        return PeftModel.from_pretrained(model, folder)
    except (SafetensorError, RuntimeError, ValueError, OSError, TypeError) as error:
        raise _damaged(folder, error) from error


def _loading(folder: Path, load: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Run a library's loader quietly and turn what it raises into one line."""
    try:
        with quiet_transformers():
            return load()
    except Exception as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> InputError:
    """Say that a saved classifier can't be opened."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(f"can't be opened ({first[:200]})", place=str(folder), mend=MEND)
