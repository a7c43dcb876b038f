"""What the runner adds to ten steps that do next to nothing, beside what other runners add.

Each figure is the CPU time (user + system) of a whole command and its children, the median of several rounds in which
all commands take turns. "All run": the source has changed, so every step runs. "Nothing changed": the same command
again. The difference over the number of steps is what the runner adds for a step that runs; the rest is its start. For
ours it is taken of runs that import MLflow either way (1.4 s): its import is a part of the start, not of a step.

    python benchmarks/pipeline.py                    # ours, DVC, Dagster
    python benchmarks/pipeline.py --install          # also Metaflow and ZenML, each put into an environment of its own
    python benchmarks/pipeline.py --environments DIR # where those stay for the next time

Metaflow and Dagster have no cache of their own for a whole run: with them the same command runs every step again.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
CHAINS = Path(__file__).parent / "chains"
STEPS = 10
PACKAGES = {"metaflow": ("metaflow==2.19.39",), "zenml": ("zenml[local]==0.98.0",)}
TELEMETRY_OFF = {
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_LOGGING_VERBOSITY": "ERROR",
    "AUTO_OPEN_DASHBOARD": "false",
    "METAFLOW_USER": "bench",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Chain:
    """Ten steps under one runner."""

    name: str
    command: list[str]
    folder: Path
    source: str
    """The file, below ``folder``, that the first step reads."""
    environment: Mapping[str, str] = field(default_factory=dict)
    skips: bool = True
    """Whether it leaves out the steps for which nothing changed."""

    preloads: bool = False
    """Whether ``--preload`` makes its two figures differ by what the steps add alone."""

    def change(self, turn: int) -> None:
        """Give the first step something that it has not seen."""
        (self.folder / self.source).write_text(f"text,label\nchanged,{os.getpid()}-{turn}\n")

    def cpu_seconds(self, *further: str) -> float:
        """Run the command once."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, **TELEMETRY_OFF, **self.environment}
        done = subprocess.run(
            [*self.command, *further],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{self.name} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; one more warms up")
    parser.add_argument(
        "--install", action="store_true", help="install Metaflow and ZenML and measure them too"
    )
    parser.add_argument("--environments", type=Path, help="folder in which their environments are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chains-") as scratch:
        root = Path(scratch)
        chains = [*ours(root), with_dvc(root), with_dagster(root)]
        if options.install or options.environments:
            kept = (options.environments or root / "environments").resolve()
            chains += [chain for name in PACKAGES if (chain := elsewhere(name, root, kept))]
        measured = measure(chains, options.rounds)
    first = measured[chains[0].name]
    print(
        "| runner | all run, CPU s | a step, CPU s | nothing changed, CPU s | nothing changed, beside ours |"
    )
    print("|---|---|---|---|---|")
    for chain in chains:
        every, again, step = measured[chain.name]
        added = f"{step:.3f}" if chain.skips else "(runs all again)"
        print(f"| {chain.name} | {every:.2f} | {added} | {again:.2f} | {again / first[1]:.1f} × |")


def measure(chains: list[Chain], rounds: int) -> dict[str, tuple[float, float, float]]:
    """Return for each chain the medians of a run of every step, of an idle one, and of what a step adds."""
    found: dict[str, list[tuple[float, float, float]]] = {chain.name: [] for chain in chains}
    for turn in range(rounds + 1):
        for chain in chains:
            chain.change(2 * turn)
            every, again = chain.cpu_seconds(), chain.cpu_seconds()
            added = every - again
            if chain.preloads:
                chain.change(2 * turn + 1)
                added = chain.cpu_seconds("--preload") - chain.cpu_seconds("--preload")
            found[chain.name].append((every, again, added / STEPS))
    counted = {
        name: rows[1:] for name, rows in found.items()
    }  # the first round warms caches and writes byte code
    return {name: tuple(map(statistics.median, zip(*rows, strict=True))) for name, rows in counted.items()}


def ours(root: Path) -> list[Chain]:
    """Make two projects: one whose steps are recorded in MLflow and in git, and one without either."""
    chains = []
    for name, words in {
        "tunewright run": ["--record"],
        "tunewright run, without MLflow runs and commits": [],
    }.items():
        folder = root / f"ours{len(chains)}"
        subprocess.run([str(BIN / "tunewright"), "init", str(folder)], check=True, capture_output=True)
        command = [sys.executable, str(CHAINS / "ours.py"), str(folder), *words]
        identity = {
            f"GIT_{who}_{what}": "bench@localhost"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        chains.append(Chain(name, command, folder, "data/rows.csv", identity, preloads=bool(words)))
    return chains


def with_dvc(root: Path) -> Chain:
    """Make a DVC pipeline of ten stages; ``cp`` is the cheapest command that there is."""
    folder = made(root / "dvc")
    stages = "".join(
        f"  step{n}:\n    cmd: cp {n}.txt {n + 1}.txt\n    deps: [{n}.txt]\n    outs: [{n + 1}.txt]\n"
        for n in range(STEPS)
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    for words in (["git", "init", "--quiet"], [str(BIN / "dvc"), "init", "--quiet"]):
        subprocess.run(words, cwd=folder, check=True)
    return Chain("dvc repro", [str(BIN / "dvc"), "repro", "--quiet"], folder, "0.txt")


def with_dagster(root: Path) -> Chain:
    """Make a folder for Dagster, with the instance that a project would have."""
    folder = made(root / "dagster")
    home = made(folder / "home")
    command = [sys.executable, str(CHAINS / "with_dagster.py"), str(folder)]
    return Chain("Dagster, in process", command, folder, "0.txt", {"DAGSTER_HOME": str(home)}, skips=False)


def elsewhere(name: str, root: Path, environments: Path) -> Chain | None:
    """Make a chain that runs in an environment of its own; ``None``, and a line that says why, where that fails."""
    folder, place = made(root / name), environments / name
    python = place / "bin" / "python"
    if not python.is_file():
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", str(place)], check=True, capture_output=True, text=True
            )
            words = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]]
            subprocess.run(words, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            print(
                f"{name} is left out, it doesn't install here: {str(error.stderr).strip().splitlines()[-1]}"
            )
            shutil.rmtree(place, ignore_errors=True)
            return None
    chain = CHAINS / f"with_{name}.py"
    if name == "metaflow":
        command = [str(python), str(chain), "--quiet", "--no-pylint", "run"]
        return Chain("Metaflow", command, folder, "0.txt", {"CHAIN": str(folder)}, skips=False)
    environment = {
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
    }
    return Chain("ZenML", [str(python), str(chain), str(folder)], folder, "0.txt", environment)


def made(folder: Path) -> Path:
    """Make a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
