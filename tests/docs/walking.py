"""Follow a page as a reader would: its commands and Python blocks in order, in one folder."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_forms import fault
from doc_pages import SHELL, blocks, commands

if TYPE_CHECKING:
    from doc_pages import Command

TINY = """
  max_rows: 200
  validation_share: 0.15
model:
  name: {base}
training:
  epochs: 2
  learning_rate: 3e-3
registry:
  probes: 8
evaluation:
  bootstrap_samples: 100
  latency_samples: 10
  gate:
    min_rows: 20
"""
"""What is put at the end of a new project's configuration, so that its run takes seconds."""

LOOKING = {
    ("config", "show"), ("config", "schema"), ("config", "groups"), ("data", "show"), ("data", "inspect"),
    ("data", "log"), ("data", "diff"),
    ("models", "list"), ("models", "show"), ("models", "compare"), ("models", "trace"), ("doctor",), ("predict",),
    ("notebook", "run"), ("trace",),
}  # fmt: skip
"""Commands that change nothing, or only a page among the reports: they run wherever they stand."""


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str = ""
    err: str = ""


DONE = Said(0)


@dataclass
class Walk:
    """A reader on the way through a page."""

    base: Path
    folder: Path
    before: dict[tuple[str, ...], Callable[[Walk], None]] = field(default_factory=dict)
    """What must be so before a command, by its first word or two; asked once."""

    def follow(self, command: Command) -> Said:
        """Do what a command says; what only a bare machine or a server could do is checked for form."""
        program, *words = command.words
        if program == "tunewright" and words[0] not in ("server", "auth"):
            return self._tunewright(words)
        if program == "dvc" and words[0] in ("repro", "status"):
            return self._dvc(words)
        if program == "cd" and (self.folder / words[0]).is_dir():
            self.folder /= words[0]
            return DONE
        return self._checked(command)

    def look(self, command: Command) -> Said:
        """Do what changes nothing, plan a run instead of running it, and check the form of all else."""
        program, *words = command.words
        if program == "tunewright" and (tuple(words[:2]) in LOOKING or (words[0],) in LOOKING):
            return self._tunewright(words)
        checked = self._checked(command)
        if checked.code == 0 and words[:1] == ["run"] and not _is_elsewhere(words):
            return self._tunewright([*words, *(["--dry-run"] if "--dry-run" not in words else [])])
        return checked

    def _checked(self, command: Command) -> Said:
        """Run ``python -c`` in this process; of anything else see whether it could run."""
        if command.words[1:2] == ("-c",):
            self.run_python(command.words[2], {})
            return DONE
        wrong = fault(command.words, self._configs())
        return Said(1, err=wrong) if wrong else DONE

    def _tunewright(self, words: list[str]) -> Said:
        for key in (tuple(words[:1]), tuple(words[:2])):
            if prepare := self.before.pop(key, None):
                prepare(self)
        said = tunewright(self.folder, *words)
        if words[0] == "init":
            name = next(word for word in words[1:] if not word.startswith("-"))
            config = self.folder / name / "configs" / "config.yaml"
            config.write_text(config.read_text() + TINY.format(base=self.base))
        return said

    def _dvc(self, words: list[str]) -> Said:
        program = Path(sys.executable).parent / "dvc"
        done = subprocess.run([program, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        return Said(done.returncode, done.stdout, done.stderr)

    def run_python(self, code: str, names: dict[str, Any]) -> None:
        """Run a Python block where the reader stands; the process is afterwards as it was."""
        environment = dict(os.environ)
        try:
            with standing_in(self.folder), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, "<page>", "exec"), names)
        finally:
            _forget_tracking_uri()
            os.environ.clear()
            os.environ.update(environment)

    def _configs(self) -> Path | None:
        configs = self.folder / "configs"
        return configs if configs.is_dir() else None


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """Make a folder the working directory for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _forget_tracking_uri() -> None:
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)


def _is_elsewhere(words: list[str]) -> bool:
    """Tell whether a run reads a source that isn't on this machine."""
    return any(word.startswith("data.source=") and ("://" in word or "/" in word) for word in words)


def tunewright(folder: Path, *words: str) -> Said:
    """Run the command line in this process."""
    from tunewright.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with standing_in(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([*words])
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def missing_lines(screen: str, said: Said) -> Iterator[str]:
    """Give the lines of a screen in a page that the command didn't print; ``…`` stands for any."""
    printed = [" ".join(line.split()) for line in (said.out + said.err).splitlines()]
    for line in screen.splitlines():
        wanted = " ".join(line.split())
        if wanted not in ("", "…") and wanted not in printed:
            yield line


def promoted(*versions: str):
    """Promote by hand: what the gate says of models this small is a matter of luck."""

    def prepare(walk: Walk) -> None:
        for version in versions:
            said = tunewright(walk.folder, "models", "promote", version)
            assert said.code == 0, said.err

    return prepare


def follow(page: Path, walk: Walk) -> list[str]:
    """Do all that a page says, and return what was not so."""
    complaints: list[str] = []
    for block in blocks(page):
        if block.language in SHELL:
            answers = [(command, walk.follow(command)) for command in commands(block)]
            complaints += [
                f"{command}: exit {said.code}: {said.err}" for command, said in answers if said.code
            ]
        elif block.language == "python":
            walk.run_python(block.text, {})
    return complaints
