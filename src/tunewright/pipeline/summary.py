"""What came of a run, read back from the files that its steps left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunewright.pipeline.headline import columns
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.pipeline.runner import StepResult
    from tunewright.support.paths import ProjectPaths

REPORT = "reports/evaluation/report.json"
PAGE = "reports/evaluation/report.html"
REGISTERED = "models/registered.json"
VERDICT = "reports/verdict.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts of one run; ``tunewright run --json`` ends with them."""

    steps: tuple[StepResult, ...]
    seconds: float
    model: str
    version: int | None = None
    promoted: bool | None = None
    metrics: dict[str, Any] | None = None
    """On the frozen test rows: of a classifier ``accuracy``, ``f1_macro`` and ``f1`` by label name, of a language
    model ``exact_match``, ``token_f1`` and the like."""
    baselines: dict[str, dict[str, Any]] | None = None
    """The same, by baseline."""
    columns: dict[str, str] = field(default_factory=dict)
    """The figures that a table shows, with their headings."""
    report: str | None = None
    sentences: tuple[str, ...] = ()
    """What the report and the gate say in words."""

    def as_json(self) -> dict[str, Any]:
        """Return the facts under the names that programs rely on."""
        return {
            "model": self.model,
            "version": self.version,
            "promoted": self.promoted,
            "metrics": self.metrics,
            "baselines": self.baselines,
            "report": self.report,
            "steps": {step.name: step.state for step in self.steps},
            "seconds": round(self.seconds, 3),
        }


def summarise(
    recipe: Recipe, paths: ProjectPaths, steps: tuple[StepResult, ...], *, seconds: float
) -> Outcome:
    """Gather a run's facts; those of steps that have never run are ``None``."""
    ran_all = all((paths.root / name).is_file() for name in (REPORT, REGISTERED, VERDICT))
    if not ran_all or any(step.state.startswith("would") for step in steps):
        return Outcome(steps=steps, seconds=seconds, model=recipe.model_name)
    report, registered, verdict = (read_json(paths.root / name) for name in (REPORT, REGISTERED, VERDICT))
    shown = columns(report)
    names = (*shown, "f1") if "accuracy" in shown else tuple(shown)
    figures = {model["name"]: {name: model["metrics"][name] for name in names} for model in report["models"]}
    tuned = next(model["name"] for model in report["models"] if model["role"] == "tuned")
    return Outcome(
        steps=steps,
        seconds=seconds,
        model=recipe.model_name,
        version=registered["version"],
        promoted=verdict["promoted"],
        columns=shown,
        metrics=figures.pop(tuned),
        baselines=figures,
        report=str(paths.root / PAGE),
        sentences=(report["headline"], verdict["summary"]),
    )
