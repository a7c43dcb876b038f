"""What the machine is good at, found out by trying it: device, precision, matrix library, threads.

A flag in ``/proc/cpuinfo`` says that an instruction exists, not that the installed libraries gain from it. Each
choice here therefore comes from a probe of some milliseconds, and carries the reason for it.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import torch

    from tunewright.config.schema import TrainingConfig

Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["fp32", "bf16", "fp16"]
MatrixPrecision = Literal["highest", "medium"]

PROBE_SHAPE = (384, 384, 1536)
"""Rows, inner and outer width: the largest product of a small encoder on a batch of short texts."""
PROBE_ROUNDS = 7
BF16_MIN_GAIN = 1.4
"""bf16 must be this much faster than fp32: below it, the casts eat what the products win."""
BF16_MAX_ERROR = 0.02
"""Largest relative error of a bf16 product: eight bits of mantissa give 0.004 an element."""
MEDIUM_MAX_ERROR = 1e-5
"""``medium`` is taken where it still computes in fp32 but with another library (1.1 to 1.5 times as fast on the
processors seen), not where it rounds. Its gain isn't timed: the noise of a clock must not decide about last bits."""
EAGER_MAX_LENGTH = 128
"""On a CPU, plain attention beats the fused kernel up to about this many tokens (see docs/performance.md)."""
BUSY_SHARE = 0.5
"""A core that others use more than this isn't free."""
LOAD_WINDOW_S = 0.3
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Hardware:
    """How a training computes, and why."""

    device: Device
    precision: Precision
    matrix_precision: MatrixPrecision
    attention: Literal["eager", "sdpa"]
    threads: int
    reasons: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return one line for a person."""
        what = f"{self.device}, {self.precision}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"training on {what} ({'; '.join(self.reasons)})" if self.reasons else f"training on {what}"

    def as_dict(self) -> dict[str, Any]:
        """Return the choices as JSON values."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Hardware:
        """Return the choices that ``as_dict`` wrote."""
        return cls(**{**values, "reasons": tuple(values["reasons"])})


def choose_hardware(config: TrainingConfig, *, typical_length: int) -> Hardware:
    """Choose device, precision and threads for a training.

    Args:
        config: What the user asked for; ``auto`` and null are decided here.
        typical_length: Tokens of a longer text of the data set (its 95th percentile).

    Raises:
        InputError: When the device or the precision asked for isn't there.
    """
    device, device_reason = _device(config.device)
    threads, threads_reason = _threads(config.threads)
    with _threads_set(threads):
        precision, precision_reason = _precision(config.precision, device)
        matrix_precision: MatrixPrecision = "highest"
        if device == "cpu" and precision == "fp32":
            matrix_precision = _matrix_precision()
    eager = device == "cpu" and typical_length <= EAGER_MAX_LENGTH
    reasons = (device_reason, precision_reason, threads_reason if device == "cpu" else "")
    return Hardware(
        device=device,
        precision=precision,
        matrix_precision=matrix_precision,
        attention="eager" if eager else "sdpa",
        threads=threads,
        reasons=tuple(reason for reason in reasons if reason),
    )


@contextmanager
def applied(hardware: Hardware) -> Iterator[None]:
    """Set threads and matrix precision of this process, and put back what was set before."""
    import torch

    before = torch.get_float32_matmul_precision()
    with _threads_set(hardware.threads):
        torch.set_float32_matmul_precision(hardware.matrix_precision)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


@contextmanager
def products(hardware: Hardware) -> Iterator[None]:
    """Compute products in the precision chosen for the training inside the block."""
    import torch

    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(hardware.precision)
    with torch.autocast(hardware.device, dtype=low, enabled=low is not None):
        yield


def device_of(asked: str) -> Device:
    """Return the device that a recipe's ``training.device`` means here.

    Raises:
        InputError: When it isn't there.
    """
    return _device(asked)[0]


def is_present(device: str) -> bool:
    """Tell whether this machine and its torch build have a device."""
    import torch

    if device == "cuda":
        return torch.cuda.is_available()
    return device == "cpu" or (device == "mps" and torch.backends.mps.is_available())


def free_cores() -> tuple[int, int]:
    """Return the cores that are free for this process now, and those that it may use at all."""
    allowed = allowed_cores()
    if allowed == 1:
        return 1, 1
    import psutil

    own = psutil.Process()
    own_before = sum(own.cpu_times()[:2])
    began = time.monotonic()
    shares = psutil.cpu_percent(interval=LOAD_WINDOW_S, percpu=True)
    own_share = (sum(own.cpu_times()[:2]) - own_before) / (time.monotonic() - began)
    busy = sum(share > 100 * BUSY_SHARE for share in shares) - round(own_share)
    return max(1, min(allowed, len(shares) - max(0, busy))), allowed


def allowed_cores() -> int:
    """Return the cores that affinity and the container's quota leave to this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = CGROUP_QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, max(1, math.floor(int(quota) / int(period))))
    return cores


def _threads(asked: int | None) -> tuple[int, str]:
    """Choose the number of threads: a thread without a core of its own slows all the others down."""
    if asked is not None:
        return asked, "threads as configured"
    if (told := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(told) > 0:
        return int(told), "OMP_NUM_THREADS"
    free, allowed = free_cores()
    if free == allowed:
        return free, f"all {allowed} cores are free" if allowed > 1 else "one core"
    return free, f"{allowed - free} of {allowed} cores are busy"


@contextmanager
def _threads_set(threads: int) -> Iterator[None]:
    """Compute with ``threads`` threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(asked: str) -> tuple[Device, str]:
    """Choose the device, refusing one that isn't there."""
    import torch

    if asked != "auto":
        if not is_present(asked):
            raise InputError(
                f"this machine has no usable {asked} device",
                place="training.device",
                mend="leave it at auto, or install the torch build and driver that fit",
            )
        return asked, ""  # type: ignore[return-value]
    if is_present("cuda"):
        return "cuda", torch.cuda.get_device_name(0)
    if is_present("mps"):
        return "mps", "Apple GPU"
    return "cpu", "no GPU found"


def _precision(asked: str, device: Device) -> tuple[Precision, str]:
    """Choose the precision of products; weights and optimiser state stay fp32 in any case."""
    import torch

    if asked == "fp16" and device != "cuda":
        raise InputError(
            f"fp16 needs a CUDA device, this run uses {device}", place="training.precision", mend="take auto"
        )
    if asked == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(
            f"{torch.cuda.get_device_name(0)} has no bf16",
            place="training.precision",
            mend="take fp16 or auto",
        )
    if asked != "auto":
        return asked, ""  # type: ignore[return-value]
    if device == "cuda":
        good = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the GPU has bf16") if good else ("fp32", "the GPU has no bf16")
    if device == "mps":
        return "fp32", "bf16 is not probed on this device"
    gain, error = _probe_bf16()
    if gain >= BF16_MIN_GAIN and error <= BF16_MAX_ERROR:
        return "bf16", f"bf16 products are {gain:.1f} times as fast here"
    if error > BF16_MAX_ERROR:
        return "fp32", f"bf16 products are off by {error:.1%} here"
    return "fp32", f"bf16 gains too little here: {gain:.1f} times"


def _probe_bf16() -> tuple[float, float]:
    """Return speed-up and relative error of a bf16 product against fp32 on this CPU."""
    import torch

    left, right = _probe_matrices()
    low = left.to(torch.bfloat16), right.to(torch.bfloat16)
    exact = left.double() @ right.double()
    error = _relative_error(low[0] @ low[1], exact)
    # Turn by turn, so that a busy neighbour slows both.
    usual, quick = _fastest(lambda: left @ right, lambda: low[0] @ low[1])
    return usual / quick, error


def _matrix_precision() -> MatrixPrecision:
    """Take ``medium`` where it is another fp32 library; where it rounds, leave it."""
    import torch

    left, right = _probe_matrices()
    exact = left.double() @ right.double()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        error = _relative_error(left @ right, exact)
    finally:
        torch.set_float32_matmul_precision(before)
    return "medium" if error <= MEDIUM_MAX_ERROR else "highest"


def _probe_matrices() -> tuple[torch.Tensor, torch.Tensor]:
    """Return two fixed matrices, drawn without touching the global generator."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows, inner, outer = PROBE_SHAPE
    return torch.randn(rows, inner, generator=generator), torch.randn(inner, outer, generator=generator)


def _relative_error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what is right."""
    return float((found.double() - exact).norm() / exact.norm())


def _fastest(*products: Callable[[], torch.Tensor]) -> list[float]:
    """Return the least seconds of a few rounds of each: the ones that others disturbed least."""
    seconds = [math.inf] * len(products)
    for at in range(PROBE_ROUNDS + 1):
        for which, product in enumerate(products):
            began = time.perf_counter()
            product()
            if at > 0:  # The first round warms up.
                seconds[which] = min(seconds[which], time.perf_counter() - began)
    return seconds
