"""What all servers serve, made once: the classifier, its copy, MLflow's folder, the texts and their labels."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sms_model import asked, convert_to, load_or_train

FACTS = "prepared.json"
TEXTS, PROBES, CHECKED = 1000, 16, 50
BOUND = 1e-3
"""Of a logit, for the certificate in MLflow's folder."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where everything lies."""

    form: str
    model: str
    """As Transformers reads it."""
    copy: str
    mlflow: str
    texts: str
    """A file, one text a line."""
    labels: dict[str, list[str]]
    """By engine (``transformers``, ``copy``), of the first texts: what a server has to answer."""
    mean_tokens: float

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """Read what ``prepare`` wrote."""
        return cls(**json.loads((folder / FACTS).read_text(encoding="utf-8")))

    def first_texts(self, count: int) -> list[str]:
        """Return the first texts."""
        return Path(self.texts).read_text(encoding="utf-8").splitlines()[:count]


def prepare(folder: Path, form: str, *, layers: int, width: int) -> None:
    """Make it all, where it isn't there yet; in a process of its own, for torch takes memory."""
    from tunewright.registry.certificate import record
    from tunewright.registry.packaging import package

    folder.mkdir(parents=True, exist_ok=True)
    classifier = load_or_train(folder / "model", layers=layers, width=width)
    copy = convert_to(classifier, [form], folder)[form]
    texts = [text for text in asked(TEXTS) if text.strip()]
    (folder / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    mlflow = folder / "mlflow"
    if not mlflow.is_dir():
        package(classifier, record(classifier, texts[:PROBES], bound=BOUND), mlflow)
    prepared = Prepared(
        form=form,
        model=str(folder / "model"),
        copy=str(copy),
        mlflow=str(mlflow),
        texts=str(folder / "texts.txt"),
        labels=_labels({"transformers": str(folder / "model"), "copy": str(copy)}, texts[:CHECKED]),
        mean_tokens=sum(map(len, classifier.encode(texts))) / len(texts),
    )
    (folder / FACTS).write_text(json.dumps(asdict(prepared)), encoding="utf-8")


def _labels(folders: dict[str, str], texts: list[str]) -> dict[str, list[str]]:
    """Return each engine's own labels."""
    from serving.answering import opened

    return {kind: opened(kind, folder)(texts) for kind, folder in folders.items()}
