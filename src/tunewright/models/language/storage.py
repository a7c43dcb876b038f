"""Saved language models: plain Transformers or PEFT folders with one file beside that says what they are."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from tunewright.models.chat.tokenizer import ChatTokenizer, open_chat_tokenizer
from tunewright.models.checkpoints import IDENTITY, inspect_checkpoint
from tunewright.models.language.description import Description
from tunewright.models.language.loading import load_causal
from tunewright.models.storage import unwritable
from tunewright.models.tokenizers import quiet_transformers
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, read_model, write_json, write_text, writing_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

DESCRIPTION = "language_model.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MEND = "save or fetch the model again"
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "*.bin.index.json")
TEMPLATE_FILE = "chat_template.jinja"
BESIDE = (TEMPLATE_FILE, "generation_config.json", "README.md", "LICENSE*", "chat_templates/*")
SHARD = "5GB"
"""Weights are written in files of this size at most."""


def save_whole(model: Any, chat: ChatTokenizer, description: Description, folder: Path) -> None:  # noqa: ANN401
    """Write a model, or an adapter, with its tokenizer and template; on failure nothing changes.

    Raises:
        InputError: When ``folder`` holds something other than a language model of ours.
        TunewrightError: When it can't be written.
    """
    from safetensors import SafetensorError

    _require_ours(folder)
    try:
        with writing_folder(folder) as target, quiet_transformers():
            model.save_pretrained(target, max_shard_size=SHARD)
            save_tokenizer(chat, target)
            write_json(target / DESCRIPTION, description.model_dump(mode="json"))
            if description.kind == "adapter":
                settings = read_json(target / ADAPTER_CONFIG)
                name = description.base.location or description.base.name if description.base else None
                write_json(target / ADAPTER_CONFIG, settings | {"base_model_name_or_path": name})
                (target / "README.md").unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise unwritable(folder, error) from error


def copy_base(source: Path, chat: ChatTokenizer, description: Description, folder: Path) -> None:
    """Write an untouched base as its files are, byte for byte, so that its digest stays; its template beside.

    Raises:
        InputError: When ``folder`` holds something other than a language model of ours.
        TunewrightError: When it can't be written.
    """
    _require_ours(folder)
    wanted = {item for pattern in (*WEIGHT_FILES, *BESIDE) for item in source.glob(pattern) if item.is_file()}
    wanted |= {item for item in source.iterdir() if item.is_file() and IDENTITY.fullmatch(item.name)}
    try:
        with writing_folder(folder) as target:
            for item in sorted(wanted):
                place = target / item.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(item, place)
            if chat.template is not None and isinstance(chat.template.source, str):
                # Wins over a template inside tokenizer_config.json; the recipe may name another than the base's.
                write_text(target / TEMPLATE_FILE, chat.template.source)
            write_json(target / DESCRIPTION, description.model_dump(mode="json"))
    except OSError as error:
        raise unwritable(folder, error) from error


def save_tokenizer(chat: ChatTokenizer, folder: Path) -> None:
    """Write a tokenizer with the template that was trained with, whichever file that came from."""
    if chat.template is not None:
        source = chat.template.source
        chat.tokenizer.chat_template = source if isinstance(source, str) else dict(source)
    chat.tokenizer.save_pretrained(folder)


def read_description(folder: Path) -> Description:
    """Read ``language_model.json``.

    Raises:
        InputError: When it is missing or isn't one of this version.
    """
    absent = "name the folder of a language model that tunewright saved"
    return read_model(folder / DESCRIPTION, Description, absent=absent, mend=MEND)


def open_whole(
    folder: Path, *, base_folder: Path | None, dtype: torch.dtype | None = None
) -> tuple[Description, ChatTokenizer, Any]:
    """Open what was saved, an adapter on its base.

    Returns:
        Its description, its tokenizer, and the model in evaluation mode.

    Raises:
        InputError: When a file is missing or damaged, or the base is absent or another one.
    """
    description = read_description(folder)
    if description.task == "score":
        raise InputError(
            "is a reward model, which scores answers and writes none",
            place=str(folder),
            mend="open it with tunewright.models.language.reward.RewardModel.load",
        )
    chat = open_chat_tokenizer(folder, name=description.base.name if description.base else "")
    if description.kind == "full":
        inspect_checkpoint(folder)
        return description, chat, load_causal(folder, chat, dtype=dtype)
    return description, chat, _open_adapter(folder, base_folder, description, chat, dtype)


def _open_adapter(
    folder: Path,
    base_folder: Path | None,
    description: Description,
    chat: ChatTokenizer,
    dtype: torch.dtype | None,
) -> Any:  # noqa: ANN401
    """Open an adapter on its base, after comparing the base's files with those trained on."""
    from peft import PeftModel
    from safetensors import SafetensorError

    whole = require_base(folder, base_folder, description)
    model = load_causal(whole, chat, load_in=description.load_in, dtype=dtype)
    try:
        return PeftModel.from_pretrained(model, str(folder)).eval()
    except (SafetensorError, RuntimeError, ValueError, OSError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"can't be opened ({first[:200]})", place=str(folder), mend=MEND) from error


def require_base(folder: Path, base_folder: Path | None, description: Description) -> Path:
    """Return the folder of an adapter's base, after comparing its files with those trained on.

    Raises:
        InputError: When the adapter's files are missing, or the base is absent or another one.
    """
    identity = description.base
    name = identity.name if identity else "its base"
    if base_folder is None:
        raise InputError(
            "is an adapter and needs the model it was trained on",
            place=str(folder),
            mend=f"give the folder of {name}",
        )
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / file).is_file():
            raise InputError(f"has no {file}", place=str(folder), mend=MEND)
    found = inspect_checkpoint(base_folder).digest
    if identity is not None and found != identity.digest:
        raise InputError(
            f"has digest {found[:12]}, the adapter was trained on {identity.digest[:12]}",
            place=str(base_folder),
            mend=f"give the folder of {name}",
        )
    return base_folder


def owned_weights(model: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """Return the tensors that ``save_whole`` writes, by name."""
    if not hasattr(model, "peft_config"):
        weights: dict[str, Any] = model.state_dict()
        return weights
    from peft import get_peft_model_state_dict

    adapter: dict[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return adapter


def _require_ours(folder: Path) -> None:
    """Refuse a folder that holds something else."""
    holds = folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION).is_file()
    if folder.is_file() or holds:
        raise InputError(
            "exists and is no saved language model", place=str(folder), mend="choose another folder"
        )
