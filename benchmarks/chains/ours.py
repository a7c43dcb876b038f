"""A tunewright run whose ten steps do next to nothing, so that what is left is what the runner costs.

    python benchmarks/chains/ours.py PROJECT [--record] [--preload]

It walks the real table of steps in a real project, made by ``tunewright init``: DVC hashes, records and recalls, the
lock and the plan are as they always are. Only the steps' functions are replaced, by one that writes a few bytes to
each output. With ``--record`` each is also a run in MLflow, and the data steps get their commits, as the real ones do.
With ``--preload`` MLflow is imported and its store opened also where no step needs it, so that the difference between
two runs is what the steps add.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.pipeline.job import Job
    from tunewright.pipeline.steps import Step

SOURCE = "data/rows.csv"


def write_outputs(root: Path, step: Step) -> None:
    """Write each output of a step: a few bytes that the source decides."""
    seen = (root / SOURCE).read_text()
    for name in step.gives:
        path = root / name
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"step": step.name, "of": seen}))
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / "manifest.json").write_text(json.dumps({"digest": f"{step.name} {seen}"}))


def function_of(step: Step) -> Callable[[Job], None]:
    """Stand in for the runner's own, which imports the function that the step names."""
    from tunewright.pipeline.executing import executing

    def function(job: Job) -> None:
        if "--record" in sys.argv:
            with executing(job, step.name):
                write_outputs(job.paths.root, step)
        else:
            write_outputs(job.paths.root, step)

    return function


def main() -> None:
    """Walk the steps."""
    from tunewright.config.compose import compose
    from tunewright.pipeline import runner
    from tunewright.support.paths import ProjectPaths

    root = Path(sys.argv[1]).resolve()
    runner.function_of = function_of
    recipe = compose(
        [f"data.source={SOURCE}", f"data.versioning.commit={str('--record' in sys.argv).lower()}"],
        configs=root / "configs",
    )
    if "--preload" in sys.argv:
        import mlflow.data.pandas_dataset  # noqa: F401

        from tunewright.registry.tracking import connect

        connect(recipe, ProjectPaths(root))
    results = runner.run(recipe, ProjectPaths(root))
    print(sum(result.state == "ran" for result in results), "of", len(results), "steps ran")


if __name__ == "__main__":
    main()
