"""Checkpoints that are whole or don't count.

The Trainer writes a checkpoint file by file, so a kill leaves half a folder. A checkpoint therefore counts only
once it is sealed: ``seal.json``, written last and in one rename, names every file with its size and digest.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.console import say
from tunewright.support.digests import digest_file
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json, write_json

if TYPE_CHECKING:
    import torch

SEAL = "seal.json"
BEST = "best.safetensors"
"""The best weights so far: a checkpoint needs no other one."""
UNSAFE = "training_args.bin"
"""A pickle that the Trainer adds and that nothing here reads."""
FINISHED = "finished"
NUMBERED = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A sealed checkpoint whose files were checked against their digests."""

    folder: Path
    step: int
    record: Mapping[str, Any]
    """What the training wrote about itself: journal and hardware."""


def seal(folder: Path, *, step: int, record: Mapping[str, Any]) -> None:
    """Make a folder count as a checkpoint by writing the digests of its files."""
    (folder / UNSAFE).unlink(missing_ok=True)
    files = {}
    for path in _files(folder):
        files[path.relative_to(folder).as_posix()] = {
            "bytes": path.stat().st_size,
            "sha256": digest_file(path),
        }
    write_json(folder / SEAL, {"step": step, "files": files, "record": dict(record)})


def newest_whole(workspace: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, or ``None`` when none was ever sealed.

    A finished training counts as newer than every step. Damaged checkpoints are passed over, and said so.

    Raises:
        TunewrightError: When checkpoints were sealed but none of them is sound.
    """
    damaged: list[str] = []
    for folder in sorted(_sealed(workspace), key=lambda folder: age(folder.name), reverse=True):
        problem, seal_facts = check(folder)
        if not problem:
            if damaged:
                say(f"checkpoint {damaged[0]}; going on from {folder.name}")
            return Checkpoint(folder, seal_facts["step"], seal_facts["record"])
        damaged.append(f"{folder.name} is damaged ({problem})")
    if damaged:
        raise TunewrightError(
            f"no checkpoint is sound: {'; '.join(damaged)}",
            place=str(workspace),
            mend="remove this folder to train from the start",
        )
    return None


def discard_unsealed(workspace: Path) -> None:
    """Remove folders that a killed training left half written."""
    for folder in _numbered(workspace):
        if not (folder / SEAL).is_file():
            shutil.rmtree(folder, ignore_errors=True)


def rotate(workspace: Path, *, keep: int) -> None:
    """Keep the newest ``keep`` sealed checkpoints; the seal goes first, so that a kill leaves no false one."""
    sealed = sorted(_sealed(workspace), key=lambda folder: age(folder.name), reverse=True)
    for folder in sealed[keep:]:
        (folder / SEAL).unlink()
        shutil.rmtree(folder, ignore_errors=True)


def save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, str(path))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read tensors, on the CPU."""
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = load_file(str(path), device="cpu")
    return weights


def check(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return what is wrong with a sealed folder, or an empty string, and its seal."""
    try:
        facts: dict[str, Any] = read_json(folder / SEAL)
        for name, expected in facts["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing", facts
            if path.stat().st_size != expected["bytes"] or digest_file(path) != expected["sha256"]:
                return f"{name} has changed", facts
        step, record = facts["step"], facts["record"]
    except (TunewrightError, KeyError, TypeError, AttributeError):
        return f"{SEAL} is unreadable", {}
    except OSError as error:
        return f"{error.strerror}", {}
    return "", {"step": step, "record": record}


def _numbered(workspace: Path) -> Iterator[Path]:
    """Yield the folders of the workspace that are checkpoints by name."""
    if workspace.is_dir():
        for folder in workspace.iterdir():
            if folder.is_dir() and (folder.name == FINISHED or NUMBERED.fullmatch(folder.name)):
                yield folder


def _sealed(workspace: Path) -> Iterator[Path]:
    return (folder for folder in _numbered(workspace) if (folder / SEAL).is_file())


def age(name: str) -> float:
    """Return the step in a checkpoint's name; a finished training is past every step."""
    found = NUMBERED.fullmatch(name)
    return float(found[1]) if found else float("inf")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
