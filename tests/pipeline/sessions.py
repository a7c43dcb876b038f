"""Call the command line in this process, for projects that live longer than one test."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """The JSON line that the output ends with."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong."""
        return only_complaint(self.err)


def only_complaint(text: str) -> str:
    """Return the error line of a standard error, of which there must be one, and no traceback."""
    assert "Traceback" not in text, text
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, f"expected one error line:\n{text}"
    return lines[0]


def call(folder: Path, *words: str, stdin: str = "") -> Answer:
    """Run a command in ``folder``."""
    from tunewright.cli.app import main

    out, err, before, typed = io.StringIO(), io.StringIO(), Path.cwd(), sys.stdin
    os.chdir(folder)
    sys.stdin = io.StringIO(stdin)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main([str(word) for word in words])
    except SystemExit as ended:
        return Answer(int(ended.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.stdin = typed
        os.chdir(before)
    raise AssertionError("the command line must end the process")


def done(folder: Path, *words: str, stdin: str = "") -> Answer:
    """Run a command that must succeed."""
    answer = call(folder, *words, stdin=stdin)
    assert answer.code == 0, answer.err
    return answer
