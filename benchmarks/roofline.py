"""What this machine can do at most, measured with the libraries that engines use: bytes from memory, products.

Nothing computes faster than its operations over the peak of the processor, nor than its bytes over the bandwidth of
the memory; the slower of the two is the roof (Williams, Waterman and Patterson 2009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["fp32", "bf16", "int8"]
KINDS: tuple[Kind, ...] = ("fp32", "bf16", "int8")
SIZES = (512, 1024, 2048)
"""Of the square matrices that are multiplied: which is fastest depends on the cache."""
ROUNDS = 12
MEMORY_ROUNDS = 8
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that one kind of product gave."""

    operations_per_s: float
    """A multiplication and an addition are two."""
    by: str
    """Whose product it was."""
    size: int
    """Of the matrices."""


def peak(kind: Kind, *, threads: int) -> Peak:
    """Return the best rate of square products of a kind, over sizes and libraries."""
    found = []
    for size in SIZES:
        for by, call in _products(kind, size, threads):
            found.append(Peak(2.0 * size**3 / fastest(call, ROUNDS), by, size))
    return max(found, key=lambda each: each.operations_per_s)


def read_bandwidth(size: int, *, threads: int) -> float:
    """Return the bytes a second at which so many bytes are read again and again; small ones stay in the cache."""
    import torch

    torch.set_num_threads(threads)
    data = torch.ones(max(1, size // FLOAT_BYTES))
    read = data.numel() * FLOAT_BYTES
    ways = (lambda: torch.dot(data, data), data.sum, data.max)
    return max(read / fastest(way, MEMORY_ROUNDS) for way in ways)


def bandwidth(size: int, *, threads: int) -> float:
    """Return the bytes a second of the memory: the best of reading, copying and adding arrays of that size.

    What a processor reads before it overwrites it isn't counted.
    """
    import torch

    torch.set_num_threads(threads)
    one, other, out = (torch.ones(size // FLOAT_BYTES) for _ in range(3))
    copied = 2 * size / fastest(lambda: out.copy_(one), MEMORY_ROUNDS)
    added = 3 * size / fastest(lambda: torch.add(one, other, out=out), MEMORY_ROUNDS)
    return max(copied, added, read_bandwidth(size, threads=threads))


def fastest(call: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the fastest of some calls; one more comes before and isn't counted."""
    call()
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def _products(kind: Kind, size: int, threads: int) -> Sequence[tuple[str, Callable[[], object]]]:
    """Return the ways to multiply two square matrices."""
    import torch

    torch.set_num_threads(threads)
    if kind == "int8":
        left, right = (torch.randint(-100, 100, (size, size), dtype=torch.int8) for _ in range(2))
        ways: list[tuple[str, Callable[[], object]]] = [
            ("torch._int_mm (oneDNN)", lambda: torch._int_mm(left, right))
        ]
        return [*ways, *_openvino_product(size, threads)]
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    one, other = (torch.rand(size, size).to(dtype) for _ in range(2))
    return [("torch.mm", lambda: torch.mm(one, other))]


def _openvino_product(size: int, threads: int) -> Sequence[tuple[str, Callable[[], object]]]:
    """Return a product of two int8 matrices as OpenVINO compiles it from a quantised graph; none without OpenVINO."""
    try:
        import openvino
        from openvino import opset13 as ops
    except ImportError:
        return []
    import numpy as np

    rng = np.random.default_rng(0)
    data = ops.parameter([size, size], np.float32)
    low, high = np.float32(-1), np.float32(1)
    quantised = ops.fake_quantize(data, low, high, low, high, 256)
    weights = rng.integers(-127, 127, (size, size)).astype(np.int8)
    scaled = ops.multiply(ops.convert(ops.constant(weights), np.float32), np.float32(0.01))
    out = ops.matmul(quantised, scaled, transpose_a=False, transpose_b=True)
    # A last quantisation keeps the result in int8, as inside a network.
    model = openvino.Model([ops.fake_quantize(out, low, high, low, high, 256)], [data])
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(rng.uniform(-1, 1, (size, size)).astype(np.float32)))
    return [("OpenVINO", request.infer)]
