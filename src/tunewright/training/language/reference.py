"""The reference model's opinion: log-probabilities of given answers, computed once and kept in the workspace.

The reference is the base as it was: for a whole model before its first step, with adapters while they are off. Kept
values are found by a digest of everything they depend on, so one that is stale has another name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunewright.models.language.generation import evaluating
from tunewright.support.console import say
from tunewright.support.digests import digest_json
from tunewright.support.files import writing
from tunewright.training.hardware import Hardware, products
from tunewright.training.language.compared import padded
from tunewright.training.language.scoring import answer_log_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tunewright.training.language.rows import MaskedRows

FOLDER = "reference"
KEPT_FILES = 8
"""Files of earlier trainings that stay: a search over learning rates needs one, a new version of the data another."""
ROWS_AT_ONCE = 16
VERSION = 1
"""Raised when the same rows would give other values."""


def reference_log_probabilities(
    model: Any,  # noqa: ANN401
    parts: Sequence[MaskedRows],
    *,
    pad_id: int,
    hardware: Hardware,
    workspace: Path,
    facts: dict[str, Any],
) -> list[list[float]]:
    """Return log π_ref(y|x) of each row's answer, from the workspace where it was computed before.

    Args:
        model: The untrained model, in the state in which the plan computes.
        parts: Rows as token ids with masks: template, length limit and what carries loss show in them.
        pad_id: Fills short rows up.
        hardware: Its precision is used, so that an untrained model's log-ratios are 0.
        workspace: Where values are kept.
        facts: What else the values depend on, such as the base's digest, as JSON values.
    """
    rows = [[part.ids, part.masks] for part in parts]
    how = [hardware.device, hardware.precision, hardware.matrix_precision, hardware.attention]
    key = digest_json({"rows": rows, "how": how, "facts": facts, "version": VERSION})
    path = workspace / FOLDER / f"{key}.safetensors"
    found = _read(path, key, parts)
    if found is None:
        say(f"asking the reference model about {sum(map(len, parts)):,} answers")
        found = [_computed(model, part, pad_id, hardware) for part in parts]
        _write(path, key, found)
    return found


def _computed(model: Any, part: MaskedRows, pad_id: int, hardware: Hardware) -> list[float]:  # noqa: ANN401
    """Ask the model about rows of similar length together."""
    import torch

    values = [0.0] * len(part)
    device = next(model.parameters()).device
    with evaluating(model), _without_adapters(model), products(hardware), torch.no_grad():
        for positions in _batches(part):
            chosen = [part[at] for at in positions]
            batch = padded(chosen, pad_id, max(len(ids) for ids, _ in chosen))
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            sums, _ = answer_log_probabilities(model, batch)
            for at, value in zip(positions, sums.tolist(), strict=True):
                values[at] = value
    return values


def _batches(part: MaskedRows) -> Iterator[list[int]]:
    order = sorted(range(len(part)), key=lambda at: -len(part.ids[at]))
    return (order[at : at + ROWS_AT_ONCE] for at in range(0, len(order), ROWS_AT_ONCE))


@contextlib.contextmanager
def _without_adapters(model: Any) -> Iterator[None]:  # noqa: ANN401
    with model.disable_adapter() if hasattr(model, "peft_config") else contextlib.nullcontext():
        yield


def _read(path: Path, key: str, parts: Sequence[MaskedRows]) -> list[list[float]] | None:
    """Return kept values, or ``None`` where there are none or the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            tensors = [file.get_tensor(str(number)) for number in range(len(parts))]
    except (OSError, SafetensorError):
        return None
    if [len(each) for each in tensors] != [len(part) for part in parts]:
        return None
    path.touch()
    return [each.tolist() for each in tensors]


def _write(path: Path, key: str, found: Sequence[Sequence[float]]) -> None:
    """Keep values, whole or not at all, and let the oldest files go."""
    import torch
    from safetensors.torch import save_file

    tensors = {str(number): torch.tensor(values, dtype=torch.float64) for number, values in enumerate(found)}
    with writing(path) as temporary:
        save_file(tensors, str(temporary), metadata={"key": key})
    kept = sorted(path.parent.glob("*.safetensors"), key=lambda item: item.stat().st_mtime, reverse=True)
    for old in kept[KEPT_FILES:]:
        old.unlink(missing_ok=True)
