"""Standard tasks of EleutherAI's lm-evaluation-harness, where it is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Facts
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACE = "evaluation.generation.harness_tasks"


class TaskFigure(Facts):
    """One figure of one task."""

    model: str
    task: str
    metric: str
    """As the harness names it, such as ``acc``, with its filter behind a comma where that isn't ``none``."""
    value: float
    standard_error: float | None


def run_tasks(
    folder: Path,
    tasks: Sequence[str],
    *,
    model: str,
    batch_size: int,
    device: str = "cpu",
    limit: int | None = None,
    include: Path | None = None,
) -> tuple[TaskFigure, ...]:
    """Let the harness ask a stored model its tasks.

    Most tasks fetch their data from the Hugging Face hub. The harness opens the folder itself, as Transformers does,
    and so sees neither a chat template nor our stop tokens: its figures compare models with each other and with
    published ones, not with the rest of the report. Tried by hand with lm_eval 0.4.13, on a task of one's own and
    a small Llama; our tests don't run it, because it isn't among our dependencies.

    Args:
        folder: A causal language model with its tokenizer, as Transformers stores it; adapters merged.
        tasks: Names that ``lm_eval ls tasks`` lists; none does nothing.
        model: The model's name in the report.
        batch_size: Requests that are answered at once.
        device: As torch names it.
        limit: Rows a task, at most; for trying out.
        include: Folder with tasks of one's own, as YAML.

    Raises:
        InputError: When the harness isn't installed, or doesn't know a task.
        TunewrightError: When it fails.
    """
    if not tasks:
        return ()
    try:
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise InputError(
            "lm-evaluation-harness is not installed", place=PLACE, mend="pip install 'lm_eval[hf]'"
        ) from error
    manager = TaskManager(include_path=str(include) if include else None)
    unknown = [name for name in tasks if not manager.match_tasks([name])]
    if unknown:
        raise InputError(
            f"the harness knows no task '{unknown[0]}'", place=PLACE, mend="see `lm_eval ls tasks`"
        )
    try:
        found = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder)},
            tasks=[*tasks],
            batch_size=batch_size,
            device=device,
            limit=limit,
            task_manager=manager,
            log_samples=False,
        )
    except (OSError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise TunewrightError(
            f"the harness fails ({type(error).__name__}: {error})",
            place=PLACE,
            mend="try `lm_eval` by itself",
        ) from error
    return figures_of((found or {}).get("results", {}), model=model)


def figures_of(results: dict[str, dict[str, Any]], *, model: str) -> tuple[TaskFigure, ...]:
    """Take the numbers out of what the harness found; its keys read ``metric,filter`` and ``metric_stderr,filter``."""
    figures = []
    for task, entries in sorted(results.items()):
        for key, value in entries.items():
            name, _, kind = key.partition(",")
            number = _finite(value)
            if kind and number is not None and not name.endswith("_stderr"):
                figures.append(
                    TaskFigure(
                        model=model,
                        task=task,
                        metric=name if kind == "none" else f"{name},{kind}",
                        value=number,
                        standard_error=_finite(entries.get(f"{name}_stderr,{kind}")),
                    )
                )
    return tuple(figures)


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
