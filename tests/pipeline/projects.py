"""Make projects for tests, and run the command line in them as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROWS = 240
SETTINGS = """  validation_share: 0.15

model:
  name: {base}
training:
  epochs: {epochs}
  learning_rate: 3e-3
  checkpoint_steps: 4
registry:
  probes: 8
evaluation:
  bootstrap_samples: 200
  latency_samples: 10
"""


def small_source(messages: str, path: Path, rows: int = ROWS) -> Path:
    """Write the first rows of the bundled messages, spread over all intents."""
    head, *lines = messages.splitlines()
    path.write_text("\n".join([head, *lines[:: max(1, len(lines) // rows)][:rows]]) + "\n", encoding="utf-8")
    return path


def tunewright(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a process of its own."""
    command = [sys.executable, "-m", "tunewright", *words]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)


def configure(project: Path, base: Path, *, epochs: int = 2) -> None:
    """Let a project's own configuration name the tiny base, so that commands need no overrides."""
    config = project / "configs" / "config.yaml"
    config.write_text(config.read_text() + SETTINGS.format(base=base, epochs=epochs))


def made(folder: Path, base: Path, messages: str, **settings: int) -> Path:
    """Make a project beside its source and configure it; nothing has run in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    small_source(messages, folder.parent / "messages.csv")
    done = tunewright(folder.parent, "init", folder.name, "--source", "messages.csv")
    assert done.returncode == 0, done.stderr
    configure(folder, base, **settings)
    return folder
