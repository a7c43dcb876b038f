"""Keys and values of several requests, each in a slot at its own length, as attention layers fill them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FULL, SLIDING = "full_attention", "sliding_attention"
BLOCK = 64
"""Tokens by which the room of all slots grows."""


class SlotCache:
    """Takes the place of Transformers' cache in a forward pass.

    Before a pass ``place`` says which slots its rows are, and how many tokens each holds.

    Args:
        slots: Rows of the cache.
    """

    is_compileable = False
    is_sliding = ()

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._layers: dict[int, list[torch.Tensor]] = {}
        self._first = 0
        self._lengths: torch.Tensor | None = None
        self._longest = 0

    def place(self, first: int, lengths: torch.Tensor | None) -> None:
        """Say where the next pass writes.

        Args:
            first: Slot of its first row.
            lengths: Tokens that each row's slot holds, (rows,); None for empty slots, which may get several tokens.
        """
        self._first = first
        self._lengths = lengths
        self._longest = 0 if lengths is None else int(lengths.max())

    def update(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        layer: int,
        *_: Any,  # noqa: ANN401
        **__: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a layer's new keys and values; return all that the rows hold (Transformers' own signature)."""
        import torch

        rows, width = keys.shape[0], keys.shape[2]
        end = self._longest + width
        held = self._room(layer, keys, values, end)
        place = slice(self._first, self._first + rows)
        if self._lengths is None:
            for buffer, new in zip(held, (keys, values), strict=True):
                buffer[place, :, :width] = new
            return keys, values
        at = torch.arange(rows, device=keys.device)
        for buffer, new in zip(held, (keys, values), strict=True):
            buffer[place][at, :, self._lengths] = new[:, :, 0]
        return held[0][place, :, :end], held[1][place, :, :end]

    def get_seq_length(self, layer: int = 0) -> int:  # noqa: ARG002 -- Transformers' own signature
        """Return the most tokens that a row of the next pass holds."""
        return self._longest

    def move(self, source: int, target: int, length: int) -> None:
        """Copy so many tokens of a slot to another."""
        for held in self._layers.values():
            for buffer in held:
                buffer[target, :, :length] = buffer[source, :, :length]

    def _room(self, layer: int, keys: torch.Tensor, values: torch.Tensor, end: int) -> list[torch.Tensor]:
        """Return a layer's buffers, grown so that they hold ``end`` tokens."""
        held = self._layers.get(layer)
        if held is None or held[0].shape[2] < end:
            width = -(-end // BLOCK) * BLOCK
            grown = [
                new.new_zeros(
                    self.slots, new.shape[1], max(width, width * 3 // 2 // BLOCK * BLOCK), new.shape[3]
                )
                for new in (keys, values)
            ]
            for old, new in zip(held or (), grown, strict=False):
                new[:, :, : old.shape[2]] = old
            self._layers[layer] = held = grown
        return held


def masks(config: Any, positions: torch.Tensor, width: int, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Return what each token may see, as a model's layers expect it.

    Args:
        config: Of the model; it says which layers see only the last so many tokens.
        positions: Of the tokens, (rows, tokens).
        width: Tokens of the cache that are looked at.
        dtype: Of the model.

    Returns:
        Zeros and lowest numbers (rows, 1, tokens, width), or one such by kind of layer where there are several.
    """
    import torch

    lowest = torch.finfo(dtype).min
    there = torch.arange(width, device=positions.device)
    distance = positions[:, None, :, None] - there

    def mask(kind: str) -> torch.Tensor:
        hidden = distance < 0
        if kind == SLIDING:
            hidden |= distance >= config.sliding_window
        return torch.zeros(hidden.shape, dtype=dtype, device=positions.device).masked_fill_(hidden, lowest)

    kinds = layer_kinds(config)
    return mask(kinds[0]) if len(kinds) == 1 else {kind: mask(kind) for kind in kinds}


def layer_kinds(config: Any) -> Sequence[str]:  # noqa: ANN401
    """Return the kinds of attention that a model's layers have."""
    found = getattr(config, "layer_types", None)
    if found:
        return sorted(set(found))
    return [SLIDING if getattr(config, "sliding_window", None) else FULL]
