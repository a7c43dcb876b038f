"""Where a chat model's tokenizer lies: a folder, a catalogue name or a hub id; weights stay where they are."""

from __future__ import annotations

from pathlib import Path

from tunewright.models.chat.families import CAUSAL_CATALOGUE, find_causal
from tunewright.models.hub import download
from tunewright.support.errors import InputError, TunewrightError, nearest


def locate_tokenizer(name: str, *, base_dir: Path, revision: str | None = None) -> Path:
    """Return a folder with the tokenizer and the configuration of a model.

    A folder wins over a catalogue name, a catalogue name over a hub id. From the hub only small files are fetched.

    Args:
        name: A folder, a name of ``CAUSAL_CATALOGUE``, or a hub id.
        base_dir: What a relative folder is relative to.
        revision: Branch, tag or commit of a hub id.

    Raises:
        InputError: When there is no such folder or model.
        TunewrightError: When the hub can't be reached.
    """
    folder = (base_dir / Path(name).expanduser()).resolve()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError("no such model folder", place=name, mend="check --model")
    entry = find_causal(name)
    known = nearest(name, list(CAUSAL_CATALOGUE)) or f"take one of {', '.join(CAUSAL_CATALOGUE)}"
    if entry is None and "/" not in name:
        raise InputError("is neither a folder, a catalogue name nor a hub id", place=name, mend=known)
    hub_id = entry.hub_id if entry else name
    try:
        return download(hub_id, revision, remote_code=False, weights=False)[0]
    except TunewrightError as error:
        mend = f"{error.mend}, or give a folder"
        raise type(error)(error.fact, place=name, mend=mend) from error
