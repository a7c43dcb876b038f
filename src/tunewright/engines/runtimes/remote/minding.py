"""Keeps a server's life within that of the process that wants it: ``python -m …remote.minding PIPE WORD...``.

Whoever starts this holds the other end of a pipe. When that closes, however its holder died, the server is ended with
all that it started: it would hold memory, and the address that the next one needs.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

POLL_SECONDS = 0.1
STOP_SECONDS = 10.0
"""How long a server may take to stop before it is killed."""


def main() -> None:
    """Run the command until it ends, or until nobody wants it any more; end with its status."""
    pipe, *words = sys.argv[1:]
    # A handler, for an ignored signal would stay ignored in the server, too.
    signal.signal(signal.SIGTERM, lambda *_: None)
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    while process.poll() is None:
        if select.select([int(pipe)], [], [], POLL_SECONDS)[0]:
            _end_group(process)
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End everything in this process's group, itself included."""
    os.killpg(0, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
