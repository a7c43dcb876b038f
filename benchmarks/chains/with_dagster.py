"""Ten Dagster assets, each of which reads a file and writes one, materialised in one process.

DAGSTER_HOME=FOLDER python benchmarks/chains/with_dagster.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from dagster import AssetsDefinition, DagsterInstance, asset, materialize

STEPS = 10
FOLDER = Path(sys.argv[1])


def step(number: int) -> AssetsDefinition:
    """Make one asset of the chain."""

    @asset(name=f"step{number}", deps=[f"step{number - 1}"] if number else [])
    def function() -> None:
        (FOLDER / f"{number + 1}.txt").write_text((FOLDER / f"{number}.txt").read_text())

    return function


if __name__ == "__main__":
    with DagsterInstance.get() as instance:
        done = materialize([step(number) for number in range(STEPS)], instance=instance)
    sys.exit(0 if done.success else 1)
