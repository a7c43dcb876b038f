"""One row of the request log: what was asked, what was answered, and what of it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Texts = Literal["keep", "redact", "hash", "drop"]
TEXTS: tuple[Texts, ...] = ("keep", "redact", "hash", "drop")
FORMAT_KEY, FORMAT = b"tunewright.request_log", b"1"
SAMPLING_BYTES = 8


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request and its answer; the names are those of answers on file (``tunewright infer``)."""

    time: float
    """When it arrived: seconds since 1970, UTC."""
    prediction_id: str
    """Empty where there was no answer."""
    request_id: str
    route: str
    model: str
    version: int | None
    key: str
    """Name of the API key; empty where the server asks for none."""
    status: int
    """Of the HTTP answer; 499 where the client left."""
    latency_s: float
    """From arrival to the last byte."""
    text: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    label: str | None = None
    confidence: float | None = None
    probabilities: Mapping[str, float] | None = None
    answer: str | None = None
    """What a language model wrote."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is kept, and how."""

    texts: Texts = "hash"
    """``keep`` them; ``redact`` credentials and personal data in them; keep a ``hash`` alone; ``drop`` them."""
    share: float = 1.0
    """Share of the requests that are kept, the same ones in every process."""
    phone_regions: tuple[str, ...] = ()
    """Countries whose national phone numbers are redacted; international ones always are."""
    flush_s: float = 10.0
    """Seconds after which a row is on disk: what a ``kill -9`` can lose."""
    rows_per_file: int = 10_000
    file_s: float = 3600.0
    """Age at which a file is closed and the next one begun."""
    waiting_rows: int = 20_000
    """Rows that wait in memory at most, while the disk can't be written; further ones are dropped and counted."""
    keep_days: float | None = 90.0
    """Older files are removed; None keeps them for ever."""

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        faults = {
            "texts": self.texts not in TEXTS,
            "share": not 0 <= self.share <= 1,
            "flush_s": self.flush_s <= 0,
            "rows_per_file": self.rows_per_file < 1,
            "file_s": self.file_s <= 0,
            "waiting_rows": self.waiting_rows < 1,
            "keep_days": self.keep_days is not None and self.keep_days <= 0,
        }
        for name, is_wrong in faults.items():
            if is_wrong:
                raise InputError(f"can't be {getattr(self, name)!r}", place=f"request log: {name}")


def is_sampled(prediction_id: str, share: float) -> bool:
    """Tell whether a request is kept: by its id alone, so that a larger share holds all that a smaller one does."""
    if share >= 1:
        return True
    digest = hashlib.blake2b(
        prediction_id.encode("utf-8", "surrogatepass"), digest_size=SAMPLING_BYTES
    ).digest()
    return int.from_bytes(digest, "big") < share * (1 << 8 * SAMPLING_BYTES)


def schema() -> pa.Schema:
    """Return the columns of a file of the log."""
    import pyarrow as pa

    return pa.schema(
        [
            ("time", pa.timestamp("us", tz="UTC")),
            ("prediction_id", pa.string()),
            ("request_id", pa.string()),
            ("route", pa.string()),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("key", pa.string()),
            ("status", pa.int16()),
            ("latency_s", pa.float64()),
            ("text", pa.string()),
            ("digest", pa.string()),
            ("tokens_in", pa.int64()),
            ("tokens_out", pa.int64()),
            ("label", pa.string()),
            ("confidence", pa.float32()),
            ("probabilities", pa.map_(pa.string(), pa.float32())),
            ("answer", pa.string()),
        ],
        metadata={FORMAT_KEY: FORMAT},
    )


def row_of(record: RequestRecord, settings: LogSettings) -> dict[str, Any]:
    """Lay a record out as a row, its texts kept or not as the settings say.

    ``digest`` is the row id that ``tunewright trace`` knows, of the text as it is kept (with ``hash``: as it was
    asked). A short text can be guessed from it; ``drop`` leaves it out.
    """
    from tunewright.registry.lineage import row_digest

    kept = _redacted(record, settings)
    asked = record.text if settings.texts == "hash" else kept.text
    row = asdict(kept)
    row["time"] = int(record.time * 1e6)
    row["digest"] = None if asked is None else row_digest(asked)
    if kept.probabilities is not None:
        row["probabilities"] = [(_writable(name), value) for name, value in kept.probabilities.items()]
    return {name: _writable(value) if isinstance(value, str) else value for name, value in row.items()}


def _redacted(record: RequestRecord, settings: LogSettings) -> RequestRecord:
    if settings.texts == "keep":
        return record
    if settings.texts != "redact":
        return replace(record, text=None, answer=None)
    return replace(record, text=_masked(record.text, settings), answer=_masked(record.answer, settings))


def _masked(text: str | None, settings: LogSettings) -> str | None:
    from tunewright.data.privacy import mask_private

    return None if text is None else mask_private(text, settings.phone_regions)


def _writable(text: str) -> str:
    """Return a text that UTF-8 can hold: lone surrogates, which JSON lets in, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
