"""What a model folder holds: its files checked without loading a weight, counted and digested."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import InputError

CONFIG = "config.json"
SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
INDEX_SUFFIX = ".index.json"
IDENTITY = re.compile(
    r"config\.json|tokenizer.*\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(txt|json)"
    r"|merges\.txt|.*\.model|.*\.py"
)
"""Files, weights aside, that decide what a base model answers."""
MEND = "download or save the model again"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Facts about a folder that was found whole."""

    architecture: str
    digest: str
    weight_digests: tuple[str, ...]
    """SHA-256 of each weight file."""
    parameters: int | None
    licence: str | None


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Check that a folder holds a whole model and describe it; no weight is loaded, nothing is executed.

    Raises:
        InputError: When a file is missing, truncated, damaged, or holds more than plain weights.
    """
    settings = read_settings(folder)
    weights = _weight_files(folder)
    parameters = None
    if weights[0].suffix == ".safetensors":
        parameters = sum(_count_weights(path) for path in weights)
    else:
        for path in weights:
            _require_plain_weights(path)
    identity = [item for item in folder.iterdir() if item.is_file() and IDENTITY.fullmatch(item.name)]
    architectures = settings.get("architectures") or [settings["model_type"]]
    return Checkpoint(
        architecture=str(architectures[0]),
        digest=_digest_files({*identity, *weights}),
        weight_digests=tuple(_digest(path) for path in weights),
        parameters=parameters,
        licence=_licence(folder / "README.md"),
    )


def read_settings(folder: Path) -> Mapping[str, Any]:
    """Return a model folder's ``config.json``.

    Raises:
        InputError: When it is missing, isn't JSON, or names no model type.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"has no {CONFIG}", place=str(folder), mend=_what_it_is(folder))
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"can't be read ({error})", place=str(path), mend=MEND) from error
    if not isinstance(settings, dict) or "model_type" not in settings:
        raise InputError("names no model_type", place=str(path), mend="take a folder that Transformers saved")
    return settings


def read_tensor(folder: Path, name: str) -> Any:  # noqa: ANN401
    """Return one tensor of a folder's safetensors files; ``None`` when they don't hold it."""
    from safetensors import safe_open

    for path in _weight_files(folder):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118
                    return file.get_tensor(name)
    return None


def _what_it_is(folder: Path) -> str:
    """Say what a folder without a configuration probably is."""
    if (folder / "adapter_config.json").is_file():
        return "it is an adapter: name the model it was trained on"
    if any(folder.glob("*.gguf")):
        return "GGUF files can't be fine-tuned: take the original model"
    nested = sorted(item.parent.name for item in folder.glob(f"*/{CONFIG}"))
    if nested:
        return f"did you mean its folder '{nested[0]}'?"
    return "take a folder that Transformers saved"


def _weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a folder, safetensors before pickled ones.

    Raises:
        InputError: When there are none, or an index names one that is missing.
    """
    for name in (SAFETENSORS, PICKLED):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / (name + INDEX_SUFFIX)
        if index.is_file():
            return _shards(index)
    others = [*folder.glob("*.h5"), *folder.glob("*.msgpack"), *folder.glob("*.onnx")]
    fact = f"has no {SAFETENSORS}" + (f" (only {others[0].name})" if others else "")
    raise InputError(fact, place=str(folder), mend=MEND)


def _shards(index: Path) -> list[Path]:
    """Return the files that an index of shards names.

    Raises:
        InputError: When the index is damaged or a shard is missing.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, OSError) as error:
        raise InputError("is not an index of weight files", place=str(index), mend=MEND) from error
    shards = [index.parent / Path(name).name for name in names]
    for shard in shards:
        if not shard.is_file():
            raise InputError(
                f"lacks {shard.name}, which {index.name} names", place=str(index.parent), mend=MEND
            )
    if not shards:
        raise InputError("names no weight file", place=str(index), mend=MEND)
    return shards


def _count_weights(path: Path) -> int:
    """Return the number of weights in a safetensors file; its header must agree with its size.

    Raises:
        InputError: When it is truncated or isn't a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"is truncated or damaged ({error})", place=str(path), mend=MEND) from error


def _require_plain_weights(path: Path) -> None:
    """Refuse a pickled file that holds more than tensors (``weights_only`` runs no code from the file).

    Raises:
        InputError: When it does, or is damaged.
    """
    import pickle

    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(
            "can't be read as plain weights, and loading it otherwise could run code from the file",
            place=str(path),
            mend="convert it once where you trust it: model.save_pretrained(FOLDER) writes safetensors",
        ) from error


def _is_zip(path: Path) -> bool:
    """Tell whether a PyTorch file has the current format, which can be mapped instead of read."""
    import zipfile

    return zipfile.is_zipfile(path)


def _digest_files(files: Iterable[Path]) -> str:
    """Return one digest over names and contents; where the folder lies makes no difference."""
    return digest_json(sorted([path.name, _digest(path)] for path in files))


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, remembered in this process while the file stays the same."""
    state = path.stat()
    return _digest_unchanged(path, state.st_size, state.st_mtime_ns)


@cache
def _digest_unchanged(path: Path, size: int, modified: int) -> str:  # noqa: ARG001
    """Return the SHA-256 of a file; size and time are there to make the cache notice a change."""
    return digest_file(path)


def _licence(card: Path) -> str | None:
    """Return the licence that a model card's front matter names."""
    if not card.is_file():
        return None
    head = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    found = re.search(r"^license:\s*(\S+)", head.group(1), re.MULTILINE) if head else None
    return found.group(1) if found else None
