"""The least time that the model can take on this machine, by its bytes and its operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import roofline
from generation.arms import BASELINES

if TYPE_CHECKING:
    from generation.model import Shape

DRAM_BYTES = 768 << 20
"""Of an array that no cache holds."""
GROUP_SCALE_BITS = 0.25
"""A scale of 16 bits for 64 weights of 4 bits."""


@dataclass(frozen=True, slots=True)
class Precision:
    """What a precision costs."""

    layer_bits: float
    output_bits: float
    cache_bytes: int
    """Of a number of the keys and values."""
    kind: roofline.Kind
    """Of its products."""

    def weight_bytes(self, shape: Shape) -> float:
        """Bytes of all weights that a step reads."""
        return (shape.layer_weights * self.layer_bits + shape.output_weights * self.output_bits) / 8


PRECISIONS = {
    "fp32": Precision(32, 32, 4, "fp32"),
    "bf16": Precision(16, 16, 2, "bf16"),
    "int8": Precision(8, 8, 4, "int8"),
    "int8-bf16": Precision(8, 8, 2, "int8"),
    "int4": Precision(4 + GROUP_SCALE_BITS, 8, 4, "int8"),
    "int4-bf16": Precision(4 + GROUP_SCALE_BITS, 8, 2, "int8"),
}
"""Of weights in 4 bits each engine keeps the output layer in 8; products of 4-bit weights are at best int8 ones."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured."""

    threads: int
    bandwidth: float
    """Bytes a second of the memory."""
    read_bandwidth: dict[str, float]
    """Bytes a second, by precision, of reading as many bytes as its weights have."""
    peaks: dict[str, roofline.Peak]
    """By kind."""


@dataclass(frozen=True, slots=True)
class Roof:
    """The least seconds for a batch, and what bounds them."""

    read_s: float
    """Until all prompts are read and each has its first token."""
    write_s: float
    """For the other tokens."""
    write_bound: str
    """``memory`` or ``arithmetic``."""

    @property
    def total_s(self) -> float:
        """Both."""
        return self.read_s + self.write_s


def precision_of(arm: str) -> str:
    """Return the precision of an arm; what isn't known (another server's) counts as fp32."""
    word = "fp32" if arm in BASELINES else arm.partition(":")[2]
    return word if word in PRECISIONS else "fp32"


def measure(shape: Shape, precisions: Iterable[str], *, threads: int) -> Machine:
    """Measure the machine."""
    sizes = {name: int(PRECISIONS[name].weight_bytes(shape)) for name in sorted(set(precisions))}
    return Machine(
        threads=threads,
        bandwidth=roofline.bandwidth(DRAM_BYTES, threads=threads),
        read_bandwidth={name: roofline.read_bandwidth(size, threads=threads) for name, size in sizes.items()},
        peaks={kind: roofline.peak(kind, threads=threads) for kind in roofline.KINDS},
    )


def roof(machine: Machine, shape: Shape, name: str, *, batch: int, prompt: int, output: int) -> Roof:
    """Return the least time of a batch.

    Weights are read once a step, at the bandwidth that was measured for as many bytes; keys and values once a token.

    Args:
        machine: What was measured.
        shape: Of the model.
        name: Of the precision.
        batch: Requests at once.
        prompt: Tokens of each prompt.
        output: Tokens of each answer.
    """
    precision = PRECISIONS[name]
    # Where products of fewer bits are slower, an engine can compute in more.
    kinds = roofline.KINDS[: roofline.KINDS.index(precision.kind) + 1]
    speed = max(machine.peaks[kind].operations_per_s for kind in kinds)
    weights_s = precision.weight_bytes(shape) / machine.read_bandwidth[name]
    kept = 2 * shape.layers * shape.width * precision.cache_bytes
    per_pair = 4 * shape.layers * shape.width
    """Operations of a token's attention to another."""
    read = batch * (
        2 * shape.layer_weights * prompt + 2 * shape.output_weights + per_pair * prompt * (prompt + 1) / 2
    )
    read_s = max(read / speed, weights_s + batch * prompt * kept / machine.bandwidth)
    memory_s = arithmetic_s = write_s = 0.0
    for seen in range(prompt + 1, prompt + output):
        memory = weights_s + batch * seen * kept / machine.bandwidth
        arithmetic = batch * (2 * shape.weights + per_pair * seen) / speed
        memory_s, arithmetic_s = memory_s + memory, arithmetic_s + arithmetic
        write_s += max(memory, arithmetic)
    return Roof(read_s, write_s, "memory" if memory_s >= arithmetic_s else "arithmetic")
