"""Requests to a server of OpenAI's completions, as streams: token ids in, token ids out where the server tells them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.interface import Chunk
from tunewright.engines.runtimes.remote.process import OK, ServerProcess
from tunewright.engines.runtimes.remote.wire import body_of, choices, read_choice
from tunewright.engines.sampling import require_plain, room
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    import requests

    from tunewright.engines.interface import Finish, Request
    from tunewright.engines.language_side import LanguageFacts
    from tunewright.engines.runtimes.remote.settings import RemoteSettings

TRIES = 3
"""For a request that has given no token yet; one that has is never asked again."""
CONNECT_SECONDS = 10.0
POLL_SECONDS = 1.0
"""How long a wait for tokens may overlook that the server has ended."""
UNFIT = (400, 401, 403, 404, 413, 422)
"""Answers that stay the same however often one asks."""


@dataclass(slots=True, eq=False)
class _Row:
    """A request, and its stream once there is one."""

    request: Request
    left: int
    is_dropped: bool = False
    response: requests.Response | None = None
    tokens: int = 0
    last: int = -1
    thread: threading.Thread = field(init=False)


class RemoteGenerator:
    """One stream a request, each on a thread of its own; the server batches.

    Args:
        settings: Where the server is and how it is started.
        folder: The model's folder, for a server that we start.
        facts: Stop tokens and limits.
        slots: Streams at once.
    """

    batches_continuously = True

    def __init__(self, settings: RemoteSettings, folder: Path, facts: LanguageFacts, slots: int) -> None:
        self.slots = slots
        self._settings = settings
        self._facts = facts
        self._server = ServerProcess(settings, folder)
        self._rows: dict[str, _Row] = {}
        self._waiting: list[_Row] = []
        self._came: queue.SimpleQueue[tuple[_Row, Chunk | TunewrightError]] = queue.SimpleQueue()
        try:
            self._server.wait()
            self._model = settings.model or self._first_model()
        except TunewrightError:
            self._server.stop()
            raise

    def add(self, request: Request) -> None:
        """Take a request in (see ``Generator``)."""
        require_plain(request, engine="remote", heeds_adapters=True)
        left = room(request, self._facts)
        if request.id in self._rows or any(row.request.id == request.id for row in self._waiting):
            raise InputError("is already being answered", place=f"request {request.id}")
        self._waiting.append(_Row(request, left))

    def step(self) -> list[Chunk]:
        """Give what came since the last step; wait for the next where nothing did.

        Raises:
            TunewrightError: When the server fails a request, or has ended.
        """
        while self._waiting and len(self._rows) < self.slots:
            row = self._waiting.pop(0)
            self._rows[row.request.id] = row
            row.thread = threading.Thread(target=self._run, args=(row,), daemon=True)
            row.thread.start()
        chunks: list[Chunk] = []
        while self._rows and not chunks:
            try:
                came = [self._came.get(timeout=POLL_SECONDS)]
            except queue.Empty:
                self._server.check()
                continue
            while not self._came.empty():
                came.append(self._came.get())
            for row, piece in came:
                if row.is_dropped:
                    continue
                if isinstance(piece, TunewrightError):
                    del self._rows[row.request.id]
                    raise piece
                chunks.append(piece)
                if piece.finish:
                    del self._rows[row.request.id]
        return chunks

    def drop(self, request_id: str) -> None:
        """Close a request's stream, at which the server forgets it (see ``Generator``)."""
        self._waiting = [row for row in self._waiting if row.request.id != request_id]
        row = self._rows.pop(request_id, None)
        if row:
            row.is_dropped = True
            if row.response is not None:
                _hang_up(row.response)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of each token but the first (see ``Scoring``): the server echoes the prompt.

        Raises:
            TunewrightError: When it doesn't.
        """
        return [self._echoed(ids) for ids in sequences]

    def close(self) -> None:
        """Close all streams, and stop the server where we started it."""
        for name in list(self._rows):
            self.drop(name)
        self._waiting.clear()
        self._server.stop()

    def _echoed(self, ids: Sequence[int]) -> list[float]:
        """Score one sequence."""
        body = {"prompt": list(ids), "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
        with self._post(body, stream=False) as response:
            self._require_ok(response)
            try:
                values = response.json()["choices"][0]["logprobs"]["token_logprobs"][1 : len(ids)]
                found = [float(value) for value in values]
            except (LookupError, TypeError, ValueError) as error:
                raise TunewrightError(
                    "doesn't score given tokens",
                    place=self._settings.place,
                    mend="use a server that echoes prompts",
                ) from error
        if len(found) != len(ids) - 1:
            raise TunewrightError(f"scored {len(found)} of {len(ids) - 1} tokens", place=self._settings.place)
        return found

    def _run(self, row: _Row) -> None:
        """Ask, and hand on what comes; on a thread."""
        for tried in range(1, TRIES + 1):
            try:
                self._stream(row)
            except InputError as error:
                self._came.put((row, error))
            except (OSError, TunewrightError) as error:
                # A request that has given tokens isn't asked again: its reader would get them twice.
                if not row.tokens and tried < TRIES and not row.is_dropped:
                    continue
                self._came.put((row, self._failed(error)))
            return

    def _stream(self, row: _Row) -> None:
        """Read one stream to its end."""
        body = body_of(row.request, row.left, self._facts.stop_ids)
        if row.request.adapter:  # by its name as a model: so vLLM, SGLang and llama.cpp are asked for one
            body["model"] = row.request.adapter
        with self._post(body, stream=True) as response:
            row.response = response
            if row.is_dropped:
                return
            self._require_ok(response)
            for choice in choices(response):
                chunk = self._chunk(row, choice)
                row.tokens += len(chunk.token_ids)
                if chunk.token_ids or chunk.finish:
                    self._came.put((row, chunk))
                if chunk.finish:
                    return
        raise TunewrightError("its stream ended before the answer did", place=self._settings.place)

    def _chunk(self, row: _Row, choice: dict[str, Any]) -> Chunk:
        """Read one event's tokens.

        Raises:
            InputError: When the server tells no token ids.
        """
        read = read_choice(choice, row.request.sampling.logprobs, place=self._settings.place)
        row.last = read.ids[-1] if read.ids else row.last
        finish: Finish | None = None
        if read.reason:
            finish = "stop" if read.reason == "stop" and row.last in self._facts.stop_ids else "length"
        return Chunk(row.request.id, read.ids, read.scores, finish)

    def _post(self, body: dict[str, Any], *, stream: bool) -> requests.Response:
        import requests

        return requests.post(
            f"{self._settings.url}/completions",
            json={"model": self._model, **body},
            headers=self._headers(),
            stream=stream,
            timeout=(CONNECT_SECONDS, self._settings.timeout_seconds),
            allow_redirects=False,
        )

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self._settings.key_variable, "")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _first_model(self) -> str:
        """Return the first model that the server lists."""
        import requests

        try:
            response = requests.get(
                f"{self._settings.url}/models",
                headers=self._headers(),
                timeout=CONNECT_SECONDS,
                allow_redirects=False,
            )
            self._require_ok(response)
            return str(response.json()["data"][0]["id"])
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise self._failed(error) from error

    def _require_ok(self, response: requests.Response) -> None:
        """Refuse any answer but 200.

        Raises:
            InputError: When asking again is useless.
            TunewrightError: When it may not be.
        """
        if response.status_code == OK:
            return
        said = " ".join(response.text[:300].split())
        kind = InputError if response.status_code in UNFIT else TunewrightError
        raise kind(f"refuses with status {response.status_code} ({said})", place=self._settings.place)

    def _failed(self, error: Exception) -> TunewrightError:
        """Say what failed in one line."""
        if isinstance(error, TunewrightError):
            return error
        failed = TunewrightError(
            f"gave no answer ({type(error).__name__})",
            place=self._settings.place,
            mend="see that the server runs",
        )
        failed.__cause__ = error
        return failed


def _hang_up(response: requests.Response) -> None:
    """End a stream that a thread is reading: the reader finds its end and closes the connection."""
    # One that has just ended has nothing left to be shut down.
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        response.raw.shutdown()
