"""A ZenML pipeline of ten steps, each of which takes the text of the one before; its cache is on.

ZENML_CONFIG_PATH=FOLDER/zenml python benchmarks/chains/with_zenml.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from zenml import pipeline, step

STEPS = 10


@step(enable_cache=True)
def read(text: str) -> str:
    """Begin with the text of the source: what changes it changes the key of the cache."""
    return text


@step(enable_cache=True)
def passed_on(text: str) -> str:
    """Give on what it takes."""
    return text


@pipeline(enable_cache=True)
def chain(text: str) -> None:
    """Ten steps in a row."""
    given = read(text)
    for _ in range(STEPS - 1):
        given = passed_on(given)


if __name__ == "__main__":
    chain((Path(sys.argv[1]) / "0.txt").read_text())
