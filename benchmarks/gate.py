"""How often is the promotion gate wrong, and how often does it see a real gain?

Two models answer the same rows. A row's difficulty is shared between them, so that they tend to fail together,
as two trainings on one data set do. Run it with ``python benchmarks/gate.py``; it prints the tables of
``docs/gate.md`` (about ten minutes on one core; ``--repeats 100`` gives a quick look).
"""

from __future__ import annotations

import argparse
from statistics import NormalDist

import numpy as np
from scipy.stats import binom

from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.comparison import exact_p
from tunewright.evaluation.predictions import Predictions
from tunewright.registry.gate import decide

CONFIG = EvaluationConfig(bootstrap_samples=100)
NAMES = ("a", "b")
SHARED_DIFFICULTY = 0.9


def pair(
    generator: np.random.Generator,
    rows: int,
    accuracies: tuple[float, float],
    shared: float = SHARED_DIFFICULTY,
) -> tuple[Predictions, Predictions]:
    """Draw the answers of a challenger and a champion with given accuracies on the same rows."""
    labels = generator.integers(0, 2, rows)
    common = generator.normal(size=rows)
    made = []
    for name, accuracy in zip(("challenger", "champion"), accuracies, strict=True):
        own = generator.normal(size=rows)
        right = np.sqrt(shared) * common + np.sqrt(1 - shared) * own < NormalDist().inv_cdf(accuracy)
        sure = 0.5 + generator.beta(6, 1, rows) * 0.499
        answered = np.where(right, labels, 1 - labels)[:, None] == np.arange(2)
        scores = np.log(np.where(answered, sure[:, None], 1 - sure[:, None])).astype(np.float32)
        made.append(Predictions(name, "tuned", np.arange(rows), labels, scores))
    return made[0], made[1]


def measure(rows: int, accuracies: tuple[float, float], repeats: int) -> dict[str, float]:
    """Return the share of each decision, of "higher number wins", and of rows on which one alone is right."""
    generator = np.random.default_rng([rows, *(int(1000 * each) for each in accuracies)])
    counts = dict.fromkeys(("promote", "keep", "cannot_tell", "higher", "discordant"), 0.0)
    for _ in range(repeats):
        new, old = pair(generator, rows, accuracies)
        verdict = decide(
            new, old, label_names=NAMES, slices={}, config=CONFIG, trivial=old, base=None, seed=1
        )
        counts[verdict.decision] += 1
        counts["higher"] += new.correct.sum() > old.correct.sum()
        counts["discordant"] += (new.correct != old.correct).mean()
    return {name: count / repeats for name, count in counts.items()}


def largest_error(rows: int, alpha: float = 0.05) -> float:
    """Compute, without drawing, the largest chance, over all rates of disagreement, that the test alone is wrong."""
    discordant = np.arange(min(rows, 1500) + 1)
    rejected = np.array([_rejected(int(count), alpha) for count in discordant])
    rates = np.geomspace(0.001, 0.25, 200)
    return float(max((binom.pmf(discordant, rows, rate) * rejected).sum() for rate in rates))


def _rejected(discordant: int, alpha: float) -> float:
    """Return the chance that the test promotes given the number of rows on which one alone is right."""
    low, high = 0, discordant + 1
    while low < high:  # the fewest wins that are significant
        middle = (low + high) // 2
        low, high = (low, middle) if exact_p(middle, discordant - middle) <= alpha else (middle + 1, high)
    return float(binom.sf(low - 1, discordant, 0.5)) if low <= discordant else 0.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    print("rows  largest possible error of the test")
    for rows in (100, 200, 500, 1000, 5000):
        print(f"{rows:5}  {largest_error(rows):.4f}")
    print("\nequal models\nrows  accuracy  one alone right  higher wins  promote  keep  cannot tell")
    for rows in (200, 500, 1000, 5000):
        for accuracy in (0.8, 0.9, 0.95, 0.99):
            _line(rows, f"{accuracy:8.2f}", measure(rows, (accuracy, accuracy), repeats))
    print("\nchampion at .90\nrows  gain      one alone right  higher wins  promote  keep  cannot tell")
    for gain in (-0.01, 0.01, 0.02, 0.03):
        for rows in (200, 500, 1000, 2500, 5000):
            _line(rows, f"{gain:+8.2f}", measure(rows, (0.9 + gain, 0.9), repeats))


def _line(rows: int, what: str, found: dict[str, float]) -> None:
    """Print one line of a table."""
    print(
        f"{rows:5} {what}  {found['discordant']:15.3f}  {found['higher']:11.3f}"
        f"  {found['promote']:7.3f} {found['keep']:5.3f}  {found['cannot_tell']:11.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
