"""What one language model wrote to the prompts of some rows: all that its figures and comparisons rest on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.evaluation.predictions import Role  # noqa: TC001 - part of the public interface
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

METADATA = b"tunewright.answers"


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: what was asked, what should be answered, and what was."""

    row: int
    """Its number in the source."""
    source: str
    prompt: str
    """For a person: the last user message, or the prompt's text; empty for plain text."""
    reference: str
    """The last assistant message, the completion or the chosen answer; the whole text for plain text."""
    output: str | None
    """What the model wrote; None for plain text, where nothing is asked."""
    tokens: int
    """Tokens written, the stop token included."""
    finished: bool
    """Whether a stop token was reached."""
    reference_loss: float
    """Summed negative log-likelihood of the row's supervised tokens, in nats."""
    reference_tokens: int
    """How many they are."""
    rejected: str | None = None
    """Of a preference: the last message of the answer that isn't wanted."""
    rejected_loss: float | None = None
    """Like ``reference_loss``, of the rejected answer; None where there is none or the length limit leaves nothing."""

    @property
    def preferred(self) -> bool | None:
        """Whether the model holds the chosen answer of a preference more likely than the rejected one.

        Each answer's likelihood is the sum of its tokens' log-probabilities, not their mean, as in DPO
        (arXiv:2305.18290), here without a reference model. None for rows that aren't preferences.
        """
        return None if self.rejected_loss is None else self.reference_loss < self.rejected_loss

    @property
    def key(self) -> tuple[str, int]:
        """What tells rows apart: file and number."""
        return self.source, self.row


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one model, in the order of the rows."""

    name: str
    role: Role
    answers: tuple[Answer, ...]
    seconds: float = 0.0
    """Time that the writing took, without the losses."""
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse repeated rows and losses that aren't numbers."""
        keys = {one.key for one in self.answers}
        if len(keys) != len(self.answers):
            raise InputError(
                "repeats a row", place=f"answers of '{self.name}'", mend="ask about each row once"
            )
        lost = [
            one
            for one in self.answers
            if not (math.isfinite(one.reference_loss) and math.isfinite(one.rejected_loss or 0.0))
        ]
        if lost:
            raise TunewrightError(
                f"gave no number for {len(lost)} of {len(self.answers)} rows, row {lost[0].row} first",
                place=f"model '{self.name}'",
                mend="its weights are damaged or its training diverged; train it again with a lower learning_rate",
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.answers)

    def take(self, positions: Sequence[int]) -> Answers:
        """Return the same model's answers to some of the rows, in the order of ``positions``."""
        chosen = tuple(self.answers[at] for at in positions)
        return Answers(self.name, self.role, chosen, self.seconds, self.size_bytes)

    def save(self, path: Path) -> None:
        """Write one parquet file with a column a field of ``Answer``; name, role and cost in its metadata.

        Raises:
            TunewrightError: When the disk doesn't take it.
        """
        import pyarrow.parquet as pq

        try:
            with writing(path) as temporary:
                pq.write_table(_table(self), temporary, compression="zstd")
        except OSError as error:
            raise TunewrightError(
                f"can't be written ({error.strerror or error})",
                place=str(path),
                mend="free some space or give yourself the right to write there",
            ) from error

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Read what ``save`` wrote; columns that a later version added may be absent.

        Raises:
            InputError: When the file is absent, damaged or not one of ours.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return _answers(pq.ParquetFile(path).read())
        except FileNotFoundError:
            raise InputError("no such file", place=str(path), mend="let the model answer again") from None
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"doesn't hold answers ({reason})", place=str(path), mend="let the model answer again"
            ) from error


def _schema() -> pa.Schema:
    """Return the columns of the file."""
    import pyarrow as pa

    types: dict[str, Any] = {
        "row": pa.int64(), "source": pa.string(), "prompt": pa.string(), "reference": pa.string(),
        "output": pa.string(), "tokens": pa.int64(), "finished": pa.bool_(),
        "reference_loss": pa.float64(), "reference_tokens": pa.int64(),
        "rejected": pa.string(), "rejected_loss": pa.float64(),
    }  # fmt: skip
    return pa.schema([(field.name, types[field.name]) for field in fields(Answer)])


def _table(answers: Answers) -> pa.Table:
    """Lay answers out as an Arrow table; halves of surrogate pairs, which no file can hold, become "?"."""
    import pyarrow as pa

    facts = {
        "name": answers.name,
        "role": answers.role,
        "seconds": answers.seconds,
        "size_bytes": answers.size_bytes,
    }
    rows = [{name: _storable(value) for name, value in asdict(one).items()} for one in answers.answers]
    schema = _schema().with_metadata({METADATA: json.dumps(facts).encode()})
    return pa.Table.from_pylist(rows, schema=schema)


def _storable(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _answers(table: pa.Table) -> Answers:
    """Read answers back out of an Arrow table."""
    facts = json.loads((table.schema.metadata or {})[METADATA])
    return Answers(
        name=facts["name"],
        role=facts["role"],
        answers=tuple(Answer(**row) for row in table.to_pylist()),
        seconds=facts["seconds"],
        size_bytes=facts["size_bytes"],
    )
