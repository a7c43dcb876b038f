"""Two registered versions side by side on the project's frozen test rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.evaluation.comparison import Comparison, Disagreement
    from tunewright.evaluation.metrics import Metrics
    from tunewright.pipeline.project import Project


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What ``tunewright models compare A B`` shows."""

    a: str
    b: str
    metrics: tuple[Metrics, Metrics]
    comparison: Comparison
    disagreements: tuple[Disagreement, ...]
    """Rows on which the two answer differently."""


def compare_versions(project: Project, a: str, b: str) -> SideBySide:
    """Ask both versions about the frozen test rows and compare their answers, paired.

    Args:
        project: The project; its last run gives rows and settings.
        a: A reference, ``NAME[@alias|/version]``.
        b: Another.

    Raises:
        InputError: When a reference names nothing, or there is no data set.
    """
    from tunewright.evaluation.comparison import compare, disagreements
    from tunewright.evaluation.metrics import score
    from tunewright.evaluation.predictions import Predictions, predict_split
    from tunewright.pipeline.gating import in_label_order
    from tunewright.registry.models import load
    from tunewright.registry.references import find_version
    from tunewright.registry.tracking import connect

    recipe, dataset = project.last_recipe(), project.dataset()
    tracking = connect(recipe, project.paths)
    test = dataset.examples("test")

    def answers(reference: str) -> Predictions:
        version = find_version(tracking, reference)
        classifier = load(tracking, version.reference)
        found = predict_split(
            classifier, test, name=version.reference, role="tuned", config=recipe.evaluation
        )
        return in_label_order(found, classifier.label_names, dataset.label_names)

    first, second = answers(a), answers(b)
    names, bins = dataset.label_names, recipe.evaluation.calibration_bins
    return SideBySide(
        a=first.name,
        b=second.name,
        metrics=(
            score(first.labels, first.log_probabilities, names, bins=bins),
            score(second.labels, second.log_probabilities, names, bins=bins),
        ),
        comparison=compare(first, second, names, recipe.evaluation, seed=recipe.seed),
        disagreements=tuple(
            disagreements(first, second, dict(zip(test.ids, test.texts, strict=True)), names)
        ),
    )
