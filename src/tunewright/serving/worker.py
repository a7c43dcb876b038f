"""A worker, one copy in its own process: ``python -m tunewright.serving.worker SOCKET FOLDER THREADS SLOTS``.

It ends when the other side of its socket does, whatever it is doing then. Signals that are meant for the server
(Ctrl-C, SIGTERM to the whole group) don't end it: the server decides when its work is done.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.serving.frames import HEADER, Failed, framed, in_a_line, read_told
from tunewright.support.environment import prepare_environment, quieten_libraries

if TYPE_CHECKING:
    from tunewright.serving.frames import Said, Told


def main() -> None:
    """Open the copy and answer until the front is gone."""
    prepare_environment()
    quieten_libraries()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    number, folder, threads, slots = sys.argv[1:]
    line = Line(socket.socket(fileno=int(number)))
    # The copy is opened beside the reading, so that a front which dies meanwhile is noticed at once.
    what = (line, Path(folder), int(threads), int(slots))
    threading.Thread(target=_serve, args=what, daemon=True).start()
    line.read()
    os._exit(0)  # threads inside an engine can't be asked to stop


class Line:
    """The worker's end of the socket: reads on one thread, writes from any."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._writing = threading.Lock()
        self._told: list[Told] = []
        self._came = threading.Condition()

    def read(self) -> None:
        """Take in what the front says until it is gone."""
        stream = self._end.makefile("rb")
        while len(head := stream.read(HEADER.size)) == HEADER.size:
            told = read_told(stream.read(HEADER.unpack(head)[0]))
            with self._came:
                self._told.append(told)
                self._came.notify()

    def next(self) -> Told:
        """Return the next thing that was said, waiting for one."""
        with self._came:
            self._came.wait_for(lambda: bool(self._told))
            return self._told.pop(0)

    def all(self, *, waits: bool) -> list[Told]:
        """Return all that was said since the last look; wait for something where asked to."""
        with self._came:
            if waits:
                self._came.wait_for(lambda: bool(self._told))
            told, self._told = self._told, []
        return told

    def say(self, message: Said) -> None:
        """Send one message."""
        with self._writing:
            self._end.sendall(framed(message))


def _serve(line: Line, folder: Path, threads: int, slots: int) -> None:
    """Open the copy, say so, and answer."""
    try:
        from tunewright.engines.copies import read_manifest

        if read_manifest(folder).language is None:
            from tunewright.serving.scoring import serve_classifier

            serve_classifier(line, folder, threads)
        else:
            from tunewright.serving.generation.working import serve_language_model

            serve_language_model(line, folder, threads, slots)
    except Exception as error:  # noqa: BLE001 -- whatever an engine raises, the front must hear of it
        line.say(Failed(0, in_a_line(error)))


if __name__ == "__main__":
    main()
