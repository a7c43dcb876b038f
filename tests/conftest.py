"""Shared fixtures: real data and models beside the checkout, and what to do where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def require(condition: bool, reason: str) -> None:
    """Skip with a reason where something is absent; fail instead under TUNEWRIGHT_REQUIRE_ALL=1."""
    if condition:
        return
    if os.environ.get("TUNEWRIGHT_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data sets and small real models."""
    require(SHARED.is_dir(), f"no shared data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def sms(shared: Path) -> Path:
    """The SMS Spam Collection: 5,574 lines, label TAB text, no header."""
    return shared / "data" / "sms_spam" / "SMSSpamCollection"
