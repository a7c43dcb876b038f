"""The request log: parquet files that a thread writes, and that never stand in an answer's way.

``append`` puts a record into a bounded queue and returns. The thread writes the file in hand anew at each flush, under
a temporary name, and renames it: a reader sees whole files alone, and a ``kill -9`` loses the rows since the last
flush. Rows that can't be written stay in memory, are tried again, and are dropped, counted, when memory is full too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.monitoring.records import LogSettings, RequestRecord, is_sampled, row_of, schema
from tunewright.support.files import writing

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FOLDER = Path("monitoring/requests")
"""Below the project's local state."""
NAME = "requests-{}-{}-{}.parquet"
PATTERN = "requests-*.parquet"
LEFTOVERS = ".requests-*.parquet.*"
LEFTOVER_AGE_S = 3600.0
"""A temporary file that is older was left by a process that was killed."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class LogCounts:
    """What became of the records; the server's metrics show it."""

    written: int
    waiting: int
    """In memory, not on disk yet."""
    dropped: int
    left_out: int
    """By sampling."""
    is_failing: bool
    """The last try to write failed."""


@dataclass(slots=True)
class _OpenFile:
    """The file in hand: its rows stay in memory until it is closed."""

    path: Path
    begun: float
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    unwritten: int = 0


class RequestLog:
    """Keeps requests and answers in a folder; several processes may share it.

    Args:
        folder: Where the files go; it is made at the first write.
        settings: What is kept.
    """

    def __init__(self, folder: Path, settings: LogSettings | None = None) -> None:
        self.folder = folder
        self.settings = settings or LogSettings()
        self._queue: deque[RequestRecord] = deque()
        self._file: _OpenFile | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._counting = threading.Lock()
        self._written = self._dropped = self._left_out = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def append(self, record: RequestRecord) -> None:
        """Take a record; never waits for the disk and never raises."""
        if not is_sampled(record.prediction_id or record.request_id, self.settings.share):
            self._left_out += 1
        elif len(self._queue) >= self.settings.waiting_rows or self._closing.is_set():
            self._drop(1)
        else:
            self._queue.append(record)
            if len(self._queue) * 2 >= self.settings.waiting_rows and not self._wake.is_set():
                self._wake.set()

    def counts(self) -> LogCounts:
        """Return what became of the records so far."""
        file = self._file
        waiting = len(self._queue) + (0 if file is None else file.unwritten)
        return LogCounts(self._written, waiting, self._dropped, self._left_out, self._is_failing)

    def close(self, timeout_s: float = 10.0) -> LogCounts:
        """Write what waits and end the thread; what can't be written now is dropped and counted.

        Args:
            timeout_s: How long to wait for the disk.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        return self.counts()

    def _run(self) -> None:
        """Write until closed; whatever goes wrong is counted and told, and the thread goes on."""
        self._tidy()
        while not self._closing.is_set():
            if self._is_failing:  # the queue may be full and would wake it at once
                self._closing.wait(self.settings.flush_s)
            else:
                self._wake.wait(self.settings.flush_s)
            self._wake.clear()
            self._try_to_write()
        self._try_to_write()
        if lost := self.counts().waiting:
            self._queue.clear()
            self._file = None
            self._drop(lost)
            logger.error("request log %s: %d records could not be written before the end", self.folder, lost)

    def _try_to_write(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - the log must outlive any fault of the disk or of Arrow
            if not self._is_failing:
                logger.error(  # noqa: TRY400 - one line, told once
                    "request log %s can't be written (%s); answers go on, records wait in memory, then are dropped",
                    self.folder,
                    " ".join(str(error).split()),
                )
            self._is_failing = True
            return
        if self._is_failing:
            self._is_failing = False
            logger.warning(
                "request log %s is written again; %d records were dropped", self.folder, self._dropped
            )

    def _write(self) -> None:
        """Bring all that waits to disk, closing files that are full or old."""
        while True:
            file = self._file = self._file or self._next_file()
            self._fill(file)
            if file.unwritten:
                self._save(file)
            if (
                file.rows >= self.settings.rows_per_file
                or time.monotonic() - file.begun >= self.settings.file_s
            ):
                self._file = None
                self._tidy()
            if not self._queue:
                return

    def _fill(self, file: _OpenFile) -> None:
        """Move records from the queue into the file in hand, as far as it has room."""
        rows: list[dict[str, Any]] = []
        before = file.rows
        while self._queue and before + len(rows) < self.settings.rows_per_file:
            file.unwritten += 1  # before it leaves the queue: a record is never in neither
            record = self._queue.popleft()
            try:
                rows.append(row_of(record, self.settings))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others stay
                file.unwritten -= 1
                self._give_up(record.route, error)
            time.sleep(0)  # lets a server's event loop run between two records
        for batch in self._batches(rows):
            file.batches.append(batch)
            file.rows += batch.num_rows
        file.unwritten -= len(rows) - (file.rows - before)

    def _batches(self, rows: list[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
        """Give the rows as Arrow holds them; a row that no column can hold is dropped by itself."""
        import pyarrow as pa

        if not rows:
            return
        try:
            yield pa.RecordBatch.from_pylist(rows, schema=schema())
        except Exception as error:  # noqa: BLE001 - as above
            if len(rows) == 1:
                self._give_up(str(rows[0]["route"]), error)
                return
            for row in rows:
                yield from self._batches([row])

    def _give_up(self, route: str, error: Exception) -> None:
        self._drop(1)
        logger.error("request log: a record of %s can't be kept (%s: %s)", route, type(error).__name__, error)

    def _save(self, file: _OpenFile) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_batches(file.batches, schema())
        with writing(file.path, mode=0o600) as temporary:
            pq.write_table(table, temporary, compression="zstd")
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        self._written += file.unwritten
        file.unwritten = 0

    def _next_file(self) -> _OpenFile:
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        return _OpenFile(
            self.folder / NAME.format(stamp, os.getpid(), secrets.token_hex(4)), time.monotonic()
        )

    def _tidy(self) -> None:
        """Remove files past their days, and what killed processes left."""
        ages = {LEFTOVERS: LEFTOVER_AGE_S}
        if self.settings.keep_days is not None:
            ages[PATTERN] = self.settings.keep_days * DAY_S
        for pattern, age in ages.items():
            for path in self.folder.glob(pattern):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > age:
                        path.unlink()

    def _drop(self, records: int) -> None:
        with self._counting:
            self._dropped += records
