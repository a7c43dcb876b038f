"""How many labels uncertainty sampling saves against random sampling on banking77: mean of several seeds.

    OMP_NUM_THREADS=1 python benchmarks/sampling.py banking77 --seeds 1 2 3 4 5 --plot docs/images/sampling.svg

The learner is logistic regression on the frozen features of `minilm` (the head that `tunewright run` fits first), so
that hundreds of trainings take minutes; a fine-tuned encoder learns more from each label, but what is compared is the
choice of rows. All strategies of a seed start from the same random rows and get the same number at a time; the pool is
the training file, F1 is macro-averaged over the 77 intents of the test file. `labels needed` is where a curve reaches
the F1 that random sampling has at the full budget (linear between the points).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunewright.config.schema import ModelConfig
from tunewright.data.dataset import Examples
from tunewright.evaluation.metrics import confusion, ratio
from tunewright.evaluation.uncertainty import pick, uncertainty
from tunewright.models.catalogue import resolve
from tunewright.models.frozen import fit_head, logistic_regression

ARMS = {
    "random": ("random", 0.0),
    "least_confidence": ("least_confidence", 0.0),
    "margin": ("margin", 0.0),
    "entropy": ("entropy", 0.0),
    "diverse": ("diverse", 0.0),
    "margin, 10 % control": ("margin", 0.1),
    "diverse, 10 % control": ("diverse", 0.1),
}
"""Name to strategy and share drawn at random."""
COLOURS = dict(
    zip(ARMS, ("#777777", "#3b6ea5", "#c77a24", "#2f7d5b", "#8455a8", "#c77a24", "#8455a8"), strict=True)
)


@dataclass(frozen=True)
class Task:
    """Pool and test rows as features and class ids."""

    pool: np.ndarray
    pool_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: int


def load(folder: Path) -> Task:
    """Read both files and encode each text once."""
    rows = {
        name: list(csv.DictReader((folder / f"{name}.csv").open(encoding="utf-8")))
        for name in ("train", "test")
    }
    names = sorted({row["category"] for row in rows["train"]})
    texts = {name: [row["text"] for row in found] for name, found in rows.items()}
    labels = {name: np.array([names.index(row["category"]) for row in found]) for name, found in rows.items()}
    few = [int(np.flatnonzero(labels["train"] == each)[0]) for each in range(len(names))]
    examples = Examples(
        ids=tuple(few),
        texts=tuple(texts["train"][at] for at in few),
        labels=tuple(range(len(names))),
        sources=("train.csv",) * len(few),
    )
    config = ModelConfig()
    base = resolve(config, base_dir=Path.cwd())
    encoder = fit_head(base, examples, names, config, seed=0, cleaning={})
    return Task(
        encoder.features(texts["train"]),
        labels["train"],
        encoder.features(texts["test"]),
        labels["test"],
        len(names),
    )


def curve(task: Task, arm: str, seed: int, start: int, step: int, budget: int) -> list[float]:
    """Label ever more rows and return the F1 on the test rows at each size."""
    strategy, share = ARMS[arm]
    labelled = np.random.default_rng(seed).permutation(len(task.pool))[:start]
    figures = []
    while True:
        weight, bias = logistic_regression(
            task.pool[labelled], task.pool_labels[labelled].tolist(), task.classes
        )
        figures.append(f1_macro(task, weight, bias))
        if len(labelled) >= budget:
            return figures
        logits = task.pool @ weight.T + bias
        free = np.setdiff1d(np.arange(len(task.pool)), labelled)
        chosen = pick(
            uncertainty(logits, strategy),
            free,
            rows=step,
            strategy=strategy,
            random_share=share,
            seed=1000 * seed + len(labelled),
            embed=lambda positions: task.pool[positions],
        )
        labelled = np.concatenate([labelled, chosen.positions])


def f1_macro(task: Task, weight: np.ndarray, bias: np.ndarray) -> float:
    """Measure a head on the test rows."""
    predicted = (task.test @ weight.T + bias).argmax(axis=1)
    matrix = confusion(task.test_labels, predicted, task.classes)
    return float(ratio(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1)).mean())


def labels_needed(sizes: list[int], figures: list[float], target: float) -> float:
    """Return at how many labels a curve first reaches a figure; not a number when it never does."""
    for at, figure in enumerate(figures):
        if figure >= target:
            if at == 0:
                return float(sizes[0])
            before = figures[at - 1]
            return sizes[at - 1] + (sizes[at] - sizes[at - 1]) * (target - before) / (figure - before)
    return float("nan")


def table(sizes: list[int], curves: dict[str, list[list[float]]]) -> Iterator[str]:
    """Give the lines of a markdown table: means, and over how many seeds each strategy won."""
    yield "| strategy | F1 at half | F1 at full budget | labels needed | of random's | seeds that need fewer |"
    yield "|---|---|---|---|---|---|"
    targets = [each[-1] for each in curves["random"]]
    for arm, runs in curves.items():
        needed = [labels_needed(sizes, run, target) for run, target in zip(runs, targets, strict=True)]
        mean = statistics.mean(needed)
        half = statistics.mean(run[len(sizes) // 2] for run in runs)
        full = statistics.mean(run[-1] for run in runs)
        fewer = sum(each < sizes[-1] for each in needed)
        spread = f" ± {statistics.stdev(needed):.0f}" if len(needed) > 1 else ""
        share = f"{100 * mean / sizes[-1]:.0f} %"
        yield f"| {arm} | {half:.4f} | {full:.4f} | {mean:.0f}{spread} | {share} | {fewer} of {len(needed)} |"


def plot(path: Path, sizes: list[int], curves: dict[str, list[list[float]]]) -> None:
    """Draw the mean curves."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained", facecolor="white")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for arm, runs in curves.items():
        style = "--" if "control" in arm else "-"
        axes.plot(sizes, np.mean(runs, axis=0), style, label=arm, color=COLOURS[arm], linewidth=1.8)
    axes.axhline(np.mean([run[-1] for run in curves["random"]]), color="#bbbbbb", linewidth=1, linestyle=":")
    axes.set(xlabel="labelled rows", ylabel="macro F1 on the test rows", xlim=(sizes[0], sizes[-1]))
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def main() -> None:
    """Run all strategies on all seeds, print the table, draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with train.csv and test.csv of banking77")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--start", type=int, default=200, help="random rows labelled at first")
    parser.add_argument("--step", type=int, default=100, help="rows labelled at a time")
    parser.add_argument("--budget", type=int, default=1500, help="rows labelled in the end")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--plot", type=Path, help="SVG file to write")
    options = parser.parse_args()
    began = time.process_time()
    task = load(options.folder)
    print(f"encoded in {time.process_time() - began:.0f} CPU s", file=sys.stderr)
    sizes = list(range(options.start, options.budget + 1, options.step))
    curves: dict[str, list[list[float]]] = {}
    for seed in options.seeds:
        for arm in options.arms:
            found = curve(task, arm, seed, options.start, options.step, options.budget)
            curves.setdefault(arm, []).append(found)
            spent = time.process_time() - began
            print(f"seed {seed} {arm}: {found[-1]:.4f} ({spent:.0f} CPU s so far)", file=sys.stderr)
    print("\n".join(table(sizes, curves)))
    print(f"\n{time.process_time() - began:.0f} CPU s in all")
    if options.plot:
        plot(options.plot, sizes, curves)


if __name__ == "__main__":
    main()
