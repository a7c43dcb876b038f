"""What a person sees: messages and progress on standard error, facts on standard output."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console() -> Console:
    """Return the console for messages, on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@cache
def output() -> Console:
    """Return the console for facts, on standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print one plain line for a person; markup in it is shown as it is."""
    console().print(message, markup=False)


def emit_json(value: Any) -> None:  # noqa: ANN401
    """Print one JSON line on standard output, for programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def is_terminal() -> bool:
    """Tell whether a person watches: progress bars belong on a terminal, plain lines in a log."""
    return sys.stderr.isatty()
