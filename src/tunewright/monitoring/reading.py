"""Read the request log back: a range of time, or the request of one prediction id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.monitoring.records import FORMAT, FORMAT_KEY, schema
from tunewright.monitoring.request_log import PATTERN
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class LoggedRequests:
    """What the log holds of a range of time."""

    rows: pa.Table
    """By time; columns as in ``records.schema``."""
    unreadable: Mapping[Path, str]
    """Files that may hold more, each with what is wrong with it."""


def read_requests(
    folder: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> LoggedRequests:
    """Read the requests that arrived from ``since`` on and before ``until``.

    Args:
        folder: The log's.
        since: With a time zone; None: from the beginning.
        until: With a time zone; None: to the end.
        columns: Those wanted; None: all.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    time, wanted = pc.field("time"), None
    if since is not None:
        wanted = time >= since
    if until is not None:
        wanted = time < until if wanted is None else wanted & (time < until)
    unreadable: dict[Path, str] = {}
    tables = list(_tables(folder, wanted, unreadable))
    whole = pa.concat_tables([schema().empty_table(), *tables]).sort_by("time")
    return LoggedRequests(whole if columns is None else whole.select(list(columns)), unreadable)


def find(folder: Path, prediction_id: str) -> dict[str, Any]:
    """Return the row of a prediction id, newest files first.

    Raises:
        InputError: When no file that can be read has it.
    """
    import pyarrow.compute as pc

    unreadable: dict[Path, str] = {}
    for table in _tables(folder, pc.field("prediction_id") == prediction_id, unreadable):
        if table.num_rows:
            return dict(table.to_pylist(maps_as_pydicts="strict")[0])
    hidden = f", {len(unreadable)} files of which can't be read" if unreadable else ""
    raise InputError(
        f"is not in the request log{hidden}",
        place=prediction_id,
        mend="the log may sample, rows take seconds to be written, and old files are removed",
    )


def _tables(folder: Path, wanted: Any, unreadable: dict[Path, str]) -> Iterator[pa.Table]:  # noqa: ANN401
    """Give the wanted rows of each file, newest first; what can't be read is noted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in sorted(folder.glob(PATTERN), reverse=True):
        try:
            table = pq.read_table(path, filters=wanted)
        except FileNotFoundError:
            continue  # its days were over
        except (OSError, pa.ArrowException) as error:
            unreadable[path] = " ".join(str(error).split())
            continue
        if (table.schema.metadata or {}).get(FORMAT_KEY) != FORMAT or not table.schema.equals(schema()):
            unreadable[path] = "is no request log of this version"
            continue
        yield table
