"""A project in which the read-me was followed from its first command to its last."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from doc_pages import ROOT
from walking import Walk, follow, promoted

HAM = ("order_status", "product_question", "change_address", "account_access")


@dataclass(frozen=True)
class Story:
    """A page that was followed as it is written."""

    project: Path
    complaints: list[str]


def two_sided(messages: str, path: Path) -> Path:
    """Write the bundled messages as the SMS collection is written: label TAB text, no header."""
    import csv

    rows = list(csv.DictReader(messages.splitlines()))
    lines = [f"{'ham' if row['intent'] in HAM else 'spam'}\t{row['text']}" for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def quiet_environment():
    """One thread, and the programs of this environment first on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def readme(tmp_path_factory, tiny_base, messages, quiet_environment) -> Story:
    """The read-me, followed; its project serves the other pages."""
    folder = tmp_path_factory.mktemp("reader")
    two_sided(messages, folder / "SMSSpamCollection")
    walk = Walk(
        tiny_base,
        folder,
        {("predict",): promoted("spam/2"), ("models", "rollback"): promoted("spam/2", "spam/3")},
    )
    complaints = follow(ROOT / "README.md", walk)
    (folder / "spam" / "messages.csv").write_text(messages, encoding="utf-8")
    return Story(folder / "spam", complaints)
