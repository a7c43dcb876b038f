"""One model's answers on one frozen split: the only thing that the comparison and the gate look at."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from tunewright.evaluation.latency import Latency, time_batches, time_one_by_one
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from tunewright.config.schema import EvaluationConfig
    from tunewright.data.dataset import Examples

Role = Literal["tuned", "base", "trivial", "champion"]
METADATA = b"tunewright.predictions"


class Scorer(Protocol):
    """Anything that gives one logit a label and text."""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return an array (texts, labels)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The answers of one model on the rows of one split; the arrays run in parallel."""

    name: str
    role: Role
    rows: np.ndarray
    """Row numbers in the source, int64 (n,)."""
    labels: np.ndarray
    """True class ids, int64 (n,)."""
    log_probabilities: np.ndarray
    """Natural logarithms of the class probabilities, float32 (n, labels); minus infinity is a probability of 0."""
    latency: Latency | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that don't belong together and figures that aren't probabilities."""
        import numpy as np

        shape = self.log_probabilities.shape
        if len(shape) != 2 or self.rows.shape != (shape[0],) or self.labels.shape != (shape[0],):  # noqa: PLR2004
            raise TunewrightError(
                f"has {len(self.rows)} rows, {len(self.labels)} labels and probabilities of shape {shape}",
                place=f"predictions of '{self.name}'",
                mend="give one label and one line of probabilities a row",
            )
        best = self.log_probabilities.max(axis=1, initial=-np.inf)
        wrong = ~np.isfinite(best)  # NaN, plus infinity, or a row whose every probability is 0
        if wrong.any():
            raise TunewrightError(
                f"gave no number for {int(wrong.sum())} of {shape[0]} rows,"
                f" row {int(self.rows[wrong][0])} first",
                place=f"model '{self.name}'",
                mend="its weights are damaged or its training diverged; train it again with a lower learning_rate",
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class ids, int64 (n,); the first of equals."""
        predicted: np.ndarray = self.log_probabilities.argmax(axis=1)
        return predicted

    @property
    def correct(self) -> np.ndarray:
        """Whether each row is right, bool (n,)."""
        correct: np.ndarray = self.predicted == self.labels
        return correct

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, float64 (n,)."""
        import numpy as np

        confidence: np.ndarray = np.exp(self.log_probabilities.max(axis=1).astype(np.float64))
        return confidence

    def take(self, positions: np.ndarray) -> Predictions:
        """Return the same model's answers on some of the rows, in the order of ``positions``."""
        return Predictions(
            name=self.name,
            role=self.role,
            rows=self.rows[positions],
            labels=self.labels[positions],
            log_probabilities=self.log_probabilities[positions],
            latency=self.latency,
            size_bytes=self.size_bytes,
        )

    def save(self, path: Path) -> None:
        """Write one parquet file: ``row``, ``label``, ``log_probabilities``; name and cost in its metadata.

        Raises:
            TunewrightError: When the disk doesn't take it.
        """
        import pyarrow.parquet as pq

        try:
            with writing(path) as temporary:
                pq.write_table(_table(self), temporary)
        except OSError as error:
            raise TunewrightError(
                f"can't be written ({error.strerror or error})",
                place=str(path),
                mend="free some space or give yourself the right to write there",
            ) from error

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what ``save`` wrote.

        Raises:
            InputError: When the file is absent, damaged or not one of ours.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        mend = "run `tunewright run --from baseline --force` to make it again"
        try:
            table = pq.read_table(path)
            return _predictions(table)
        except FileNotFoundError:
            raise InputError(
                "no such file", place=str(path), mend="run `tunewright run` to make it"
            ) from None
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"doesn't hold predictions ({reason})", place=str(path), mend=mend) from error


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n, labels) into log-probabilities, float32; a row without a finite logit stays as it is."""
    import numpy as np

    wide = np.asarray(logits, dtype=np.float64)
    top = wide.max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = wide - top
        normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised.astype(np.float32)


def predict_split(
    scorer: Scorer,
    examples: Examples,
    *,
    name: str,
    role: Role,
    config: EvaluationConfig,
    size_bytes: int | None = None,
    times: tuple[float, float] | None = None,
) -> Predictions:
    """Ask a model about every row of a split and time it.

    Throughput is that of the whole split, handed over at once; latency is that of
    ``config.latency_samples`` texts given one by one (see ``latency``), or ``times``: median and 95th percentile
    in milliseconds, where they have been taken already.

    Raises:
        InputError: When the split has no rows.
        TunewrightError: When an answer isn't a number.
    """
    import numpy as np

    if not len(examples):
        raise InputError(
            "there are no rows to predict", place=f"model '{name}'", mend="raise data.test_share"
        )
    logits, rows_per_second = time_batches(scorer, examples.texts)
    p50_ms, p95_ms = times or time_one_by_one(scorer, examples.texts, samples=config.latency_samples)
    return Predictions(
        name=name,
        role=role,
        rows=np.asarray(examples.ids, dtype=np.int64),
        labels=np.asarray(examples.labels, dtype=np.int64),
        log_probabilities=log_softmax(logits),
        latency=Latency(p50_ms=p50_ms, p95_ms=p95_ms, rows_per_second=rows_per_second),
        size_bytes=size_bytes,
    )


def _table(predictions: Predictions) -> pa.Table:
    """Lay predictions out as an Arrow table."""
    import numpy as np
    import pyarrow as pa

    flat = np.ascontiguousarray(predictions.log_probabilities, dtype=np.float32).ravel()
    width = predictions.log_probabilities.shape[1]
    latency = predictions.latency
    metadata = {
        "name": predictions.name,
        "role": predictions.role,
        "latency": None if latency is None else asdict(latency),
        "size_bytes": predictions.size_bytes,
    }
    return pa.table(
        {
            "row": pa.array(predictions.rows, pa.int64()),
            "label": pa.array(predictions.labels, pa.int64()),
            "log_probabilities": pa.FixedSizeListArray.from_arrays(pa.array(flat), width),
        },
        metadata={METADATA: json.dumps(metadata).encode()},
    )


def _predictions(table: pa.Table) -> Predictions:
    """Read predictions back out of an Arrow table."""
    metadata = json.loads((table.schema.metadata or {})[METADATA])
    column = table["log_probabilities"].combine_chunks()
    width = column.type.list_size
    latency = metadata["latency"]
    return Predictions(
        name=metadata["name"],
        role=metadata["role"],
        rows=table["row"].to_numpy(),
        labels=table["label"].to_numpy(),
        log_probabilities=column.flatten().to_numpy().reshape(-1, width),
        latency=None if latency is None else Latency(**latency),
        size_bytes=metadata["size_bytes"],
    )
