"""The servers that are compared: how each is started, asked and read."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.prepare import Prepared

HERE = Path(__file__).parent
OURS, MLFLOW = "tunewright serve", "mlflow models serve"
PORT = "{port}"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server with a model."""

    name: str
    engine: str
    kind: str
    """``transformers`` or ``copy``: whose labels it has to give."""
    command: tuple[str, ...]
    """``{port}`` stands for the port."""
    path: str
    body: Any
    label: Callable[[Any], str]
    """Takes the label out of an answer."""

    @property
    def title(self) -> str:
        """Server and engine."""
        return f"{self.name}, {self.engine}"


def contenders(prepared: Prepared, *, all_of_them: bool) -> list[Contender]:
    """Return ours and MLflow's, and the others where they are wanted and installed."""
    python, plain = sys.executable, "Transformers fp32"
    ours = Contender(
        name=OURS,
        engine=prepared.form,
        kind="copy",
        command=(python, "-m", "tunewright", "serve", prepared.copy, "--port", PORT),
        path="/v1/classify",
        body={"input": "{text}"},
        label=lambda answer: answer["data"][0]["label"],
    )
    mlflow = Contender(
        name=MLFLOW,
        engine=plain,
        kind="transformers",
        command=(
            *(python, "-m", "mlflow", "models", "serve", "--model-uri", prepared.mlflow),
            *("--env-manager", "local", "--host", "127.0.0.1", "--port", PORT),
        ),
        path="/invocations",
        body={"inputs": ["{text}"]},
        label=lambda answer: answer["predictions"][0]["label"],
    )
    found = [ours, mlflow]
    if all_of_them:
        for name, package, path in (("LitServe", "litserve", "/predict"), ("Ray Serve", "ray", "/")):
            if importlib.util.find_spec(package) is None:
                print(f"{name} is left out: pip install 'tunewright[bench]'", file=sys.stderr)
                continue
            program = str(HERE / f"with_{package}.py")
            found += [
                Contender(
                    name=name,
                    engine=engine,
                    kind=kind,
                    command=(python, program, kind, folder, PORT),
                    path=path,
                    body={"input": "{text}"},
                    label=lambda answer: answer["label"],
                )
                for kind, engine, folder in (
                    ("transformers", plain, prepared.model),
                    ("copy", prepared.form, prepared.copy),
                )
            ]
    return found
