"""How good the main job is on real data: the whole pipeline, several seeds, from a fresh project each time.

    python benchmarks/quality.py SMSSpamCollection --seeds 1 2 3 -- data.split_by=text
    python benchmarks/quality.py banking77/train.csv --seeds 1

Words after `--` are overrides. Prints one line a run and the means, as a markdown table; the figures are those of the
frozen test rows. One thread, so that several may run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TUNEWRIGHT = str(Path(sys.executable).parent / "tunewright")


def run(source: Path, seed: int, overrides: list[str]) -> dict:
    """Run the pipeline in a fresh project and return what `run --json` ends with."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([TUNEWRIGHT, "init", "quality"], cwd=scratch, check=True, env=environment)
        command = [TUNEWRIGHT, "run", "--json", f"data.source={source.resolve()}", f"seed={seed}", *overrides]
        done = subprocess.run(
            command,
            cwd=Path(scratch) / "quality",
            check=False,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            sys.exit(done.returncode)
        return json.loads(done.stdout.splitlines()[-1])


def rows_of(facts: dict, label: str | None) -> dict[str, tuple[float, float, float]]:
    """Return accuracy, macro F1 and F1 of one label, by model."""
    models = {"tuned": facts["metrics"], **facts["baselines"]}
    return {
        name: (each["accuracy"], each["f1_macro"], each["f1"].get(label, float("nan")))
        for name, each in models.items()
    }


def main() -> None:
    """Run every seed and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--label", help="a label whose F1 is shown")
    options, overrides = parser.parse_known_args()
    by_model: dict[str, list[tuple[float, float, float]]] = {}
    print(
        "| seed | model | accuracy | F1 macro | F1 of the label | promoted | s |\n|---|---|---|---|---|---|---|"
    )
    for seed in options.seeds:
        facts = run(options.source, seed, [word for word in overrides if word != "--"])
        for name, figures in rows_of(facts, options.label).items():
            by_model.setdefault(name, []).append(figures)
            shown = " | ".join(f"{figure:.4f}" for figure in figures)
            last = f"{facts['promoted']} | {facts['seconds']:.0f}" if name == "tuned" else " | "
            print(f"| {seed} | {name} | {shown} | {last} |", flush=True)
    for name, runs in by_model.items():
        means = " | ".join(f"{statistics.mean(figures):.4f}" for figures in zip(*runs, strict=True))
        print(f"| mean | {name} | {means} | | |")


if __name__ == "__main__":
    main()
