"""A project in which the whole pipeline has run once, on a tiny base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from projects import made, tunewright
from versioned import make_template


@dataclass(frozen=True)
class Ran:
    """A project and what its run answered."""

    folder: Path
    facts: dict[str, Any]


@pytest.fixture(scope="session")
def ran(tmp_path_factory, tiny_base, messages) -> Ran:
    """A project in which everything has run once; tests must leave it as it is."""
    folder = made(tmp_path_factory.mktemp("ran") / "shop", tiny_base, messages)
    done = tunewright(folder, "run", "--json")
    assert done.returncode == 0, done.stderr
    return Ran(folder, json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="session")
def template(tmp_path_factory, tiny_base, messages) -> Path:
    """A project with its source inside and an empty tracking store; to be copied (``versioned.copied``)."""
    return make_template(tmp_path_factory.mktemp("template") / "shop", tiny_base, messages)
