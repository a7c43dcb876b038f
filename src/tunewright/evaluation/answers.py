"""A model's answers to texts that came in, as parquet: label, probabilities and logits of every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts, SourceFacts
from tunewright.evaluation.counting import Measured  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.predictions import log_softmax
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

SUMMARY = "summary.json"
LABEL_NAMES = b"tunewright.label_names"


class AnswerSummary(Facts):
    """What a folder of answers is; ``summary.json`` holds it."""

    key: str
    """Identity of the request: content, model and how the source was read."""
    source: SourceFacts
    source_digest: str
    """Identity of the content, whatever its name."""
    model: str
    version: int
    uri: str
    """The logged model, ``models:/m-…``."""
    label_names: tuple[str, ...]
    """Order of the logits."""
    rows: int
    """Rows answered."""
    quarantined: dict[str, int]
    """Rows set aside, by reason."""
    labels: dict[str, int]
    """Answers by label."""
    measured: Measured | None
    """How right the answers are; None where the source has no labels that the model knows."""
    unknown_labels: dict[str, int]
    """Rows by labels of the source that the model doesn't know: they are answered and not measured."""
    seconds: float
    created: str
    """UTC."""
    run_id: str
    digest: str
    """Identity of the files."""


def answer_table(
    rows: pa.Table, logits: np.ndarray, label_names: Sequence[str], *, model: str, version: int
) -> pa.Table:
    """Lay answers out beside their rows.

    Args:
        rows: ``row``, ``source``, ``text`` and ``label`` (the true one, or null) of n texts.
        logits: float32 (n, labels).
        label_names: Position is the class id.
        model: Name of the registered model.
        version: Its version.

    Returns:
        ``row``, ``source``, ``text``, ``label`` (the answer), ``confidence`` (its probability), ``probabilities`` (a
        structure with a field a label), ``logits`` (a list in the order of the labels), ``truth``, ``model``,
        ``version``.

    Raises:
        TunewrightError: When a logit isn't a number.
    """
    import numpy as np
    import pyarrow as pa

    lost = ~np.isfinite(logits).all(axis=1)
    if lost.any():
        raise TunewrightError(
            f"gave no number for {int(lost.sum())} of {len(logits)} texts, row {rows['row'][int(lost.argmax())]} first",
            place=f"model {model}/{version}",
            mend="its weights are damaged or its training diverged: take another version",
        )
    shares = np.exp(log_softmax(logits))
    best = shares.argmax(axis=1) if len(shares) else np.zeros(0, np.int64)
    names = np.array([*label_names], dtype=object)
    columns = {
        "row": rows["row"],
        "source": rows["source"],
        "text": rows["text"],
        "label": pa.array(names[best].tolist(), pa.string()),
        "confidence": pa.array(shares[np.arange(len(best)), best], pa.float32()),
        "probabilities": pa.StructArray.from_arrays(
            [pa.array(np.ascontiguousarray(share), pa.float32()) for share in shares.T], names=[*label_names]
        ),
        "logits": pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(logits, np.float32).ravel()), len(label_names)
        ),
        "truth": rows["label"],
        "model": pa.array([model] * len(best), pa.string()),
        "version": pa.array([version] * len(best), pa.int64()),
    }
    metadata = {LABEL_NAMES: json.dumps([*label_names], ensure_ascii=False).encode()}
    return pa.table(columns, metadata=metadata)


def logits_of(table: pa.Table) -> np.ndarray:
    """Return the logits of a table of answers, float32 (rows, labels)."""
    column = table["logits"].combine_chunks()
    flat: np.ndarray = column.flatten().to_numpy()
    return flat.reshape(len(column), column.type.list_size)


def read_summary(folder: Path) -> AnswerSummary:
    """Read what a folder of answers is.

    Raises:
        InputError: When there is none, or it isn't ours.
    """
    facts = read_json(folder / SUMMARY, mend="run `tunewright infer SOURCE` to make it")
    try:
        return AnswerSummary.model_validate(facts)
    except ValueError as error:
        raise InputError(
            "doesn't describe answers as this version writes them",
            place=str(folder / SUMMARY),
            mend="run `tunewright infer SOURCE --force`",
        ) from error
