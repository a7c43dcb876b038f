"""What can go wrong while a training runs, as one clear line with a mend."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tunewright.support.errors import TunewrightError
from tunewright.training.loss import NonFiniteLossError

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.training.plan import Plan

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch says on CUDA, on the CPU, and on Windows."""
NO_SPACE = ("no space left", "disk quota exceeded", "enforce fail at inline_container", "unexpected pos")
"""What safetensors and torch say when a disk is full; torch's own words don't name the cause."""


@contextmanager
def explained(plan: Plan, folder: Path, *, step: Callable[[], int]) -> Iterator[None]:
    """Turn the foreseeable faults of a training into a ``TunewrightError``.

    Args:
        plan: The training that runs inside the block.
        folder: Where its checkpoints go.
        step: Gives the step that was under way.
    """
    from safetensors import SafetensorError

    try:
        yield
    except NonFiniteLossError:
        raise _diverged(plan, step()) from None
    except (MemoryError, RuntimeError, OSError, SafetensorError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
            raise _out_of_memory(plan, step()) from None
        if _is_full(error, text):
            raise TunewrightError(
                "no space left for a checkpoint", place=str(folder), mend="free some space and run again"
            ) from None
        if isinstance(error, OSError) and str(error.filename or "").startswith(str(folder)):
            raise TunewrightError(
                f"a checkpoint can't be written ({error.strerror or error})",
                place=str(folder),
                mend="check permissions and the disk",
            ) from error
        raise


def _diverged(plan: Plan, step: int) -> TunewrightError:
    training = plan.recipe.training
    advice = [f"lower training.learning_rate (now {training.learning_rate:g})"]
    if training.warmup_share < 0.1:  # noqa: PLR2004 -- the default
        advice.append("set training.warmup_share=0.1")
    if plan.hardware.precision != "fp32":
        advice.append("try training.precision=fp32")
    return TunewrightError(
        f"the loss or its gradient became infinite or not a number at step {step} of {plan.total_steps}",
        place="training",
        mend=", or ".join(advice),
    )


def _out_of_memory(plan: Plan, step: int) -> TunewrightError:
    batch = max(plan.window(step), key=lambda rows: plan.batches.tokens(rows)[1])
    width = plan.padding.to_length or plan.batches.tokens(batch)[1] // len(batch)
    return TunewrightError(
        f"out of memory on {plan.hardware.device} at step {step}, with a batch of {len(batch)} rows"
        f" of {width} tokens",
        place="training",
        mend="halve training.batch_size and double training.gradient_accumulation_steps (the result is the same),"
        " or lower model.max_length",
    )


def _is_full(error: Exception, text: str) -> bool:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return True
    return any(words in text for words in NO_SPACE)
