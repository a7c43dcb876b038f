"""Locks between processes, with a word to the user when they wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunewright.support.console import say
from tunewright.support.errors import TunewrightError


@contextmanager
def locked(path: Path, *, what: str, timeout_s: float = 6 * 3600) -> Iterator[None]:
    """Hold the lock file ``path``; it frees itself when the process dies.

    Args:
        path: The lock file; its folder is made.
        what: What the lock guards, for the message while waiting.
        timeout_s: How long to wait for another holder.

    Raises:
        TunewrightError: When the lock isn't free within ``timeout_s``.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another process that holds {what} …")
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout:
            raise TunewrightError(
                f"another process has held {what} for {timeout_s:.0f} s", place=str(path)
            ) from None
    try:
        yield
    finally:
        lock.release()
