"""How long the command line takes to answer, and what a run costs in which nothing changed.

Each figure is CPU time (user + system) of a whole process, the median of several; `python -c pass` and `dvc status`
stand beside them as named baselines, measured in turn in the same run.

    python benchmarks/startup.py                 # on a demo project that it makes (needs the extra `offline`)
    python benchmarks/startup.py --project spam  # on a project in which `tunewright run` has ended
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Return the CPU seconds of one finished process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, help="a project in which a run has ended")
    parser.add_argument("--runs", type=int, default=7, help="processes a figure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        project = options.project or made_project(Path(scratch) / "demo")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "tunewright --help": [str(BIN / "tunewright"), "--help"],
            "tunewright run (nothing changed)": [str(BIN / "tunewright"), "run"],
            "dvc status (the same pipeline)": [str(BIN / "dvc"), "status"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.runs + 1):
            for name, command in commands.items():
                times[name].append(cpu_seconds(command, project))
    print("| command | CPU s, median | min | max |\n|---|---|---|---|")
    for name, values in times.items():
        counted = values[1:]  # the first round warms the disk cache and writes byte code
        print(f"| `{name}` | {statistics.median(counted):.2f} | {min(counted):.2f} | {max(counted):.2f} |")


def made_project(folder: Path) -> Path:
    """Make the demo project and run it once, on few rows."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    tunewright = str(BIN / "tunewright")
    subprocess.run([tunewright, "init", str(folder), "--demo"], check=True, env=environment)
    subprocess.run([tunewright, "run", "training.epochs=1"], cwd=folder, check=True, env=environment)
    # later runs take their recipe from the project's configuration, so it must say the same
    config = folder / "configs" / "config.yaml"
    config.write_text(config.read_text() + "\ntraining:\n  epochs: 1\n")
    return folder


if __name__ == "__main__":
    main()
