"""Folders and files that commands write for a user: never over something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_foreign(folder: Path, mark: str, *, force: bool) -> None:
    """Refuse to replace a folder that holds anything, or anything but our own files.

    Args:
        folder: What is to be written.
        mark: The file that tells our folders from others.
        force: Whether one of ours may be replaced.

    Raises:
        InputError: When it may not be replaced.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / mark).is_file():
        raise InputError("holds something else", place=str(folder), mend="name another folder with --out")
    if not force:
        raise InputError(
            "holds another result", place=str(folder), mend="name another folder with --out, or add --force"
        )
