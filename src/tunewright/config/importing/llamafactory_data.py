"""LLaMA-Factory's data sets, which its configuration names and ``dataset_info.json`` describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.config.importing.reading import read_mapping
from tunewright.config.importing.rules import Aside, Given, Sets, UnfitError
from tunewright.config.importing.values import as_names

INFO = "dataset_info.json"
ONLINE = "online"
"""What ``dataset_dir`` says where the names are hub ids."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("instruction", "prompt", "text"),
    "query": ("input",),
    "response": ("output",),
    "history": ("history",),
    "messages": ("conversations", "messages"),
    "system": ("system",),
    "tools": ("tools",),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "kto_tag": ("label",),
}
"""The columns that tunewright reads, by LLaMA-Factory's word for them."""
OPENAI_ROLE = "role"


def dataset(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the data set that a name stands for."""
    names = as_names(value)
    if not names:
        raise UnfitError("the name of a data set")
    others = (
        f"; a recipe reads one source: write {', '.join(names[1:])} into one file with it"
        if names[1:]
        else ""
    )
    folder = str(given.values.get("dataset_dir") or "data")
    if folder.lower() == ONLINE:
        return Sets({"data.source": names[0]}, f"a hub id{others}")
    info = _find_info(folder, given.file)
    if info is None:
        return Aside("unsupported", f"no {INFO} in {folder}: set data.source to the file of '{names[0]}'")
    described = read_mapping(info).get(names[0])
    if not isinstance(described, Mapping):
        raise UnfitError(f"a name that {info} describes", "correct the name, or describe it there")
    return _described(described, info, others)


def _find_info(folder: str, file: Path) -> Path | None:
    """Find the description: in the folder, seen from here and from the file; or beside the file."""
    places = [Path(folder), file.parent / folder, file.parent, file.parent.parent / folder]
    return next((place / INFO for place in places if (place / INFO).is_file()), None)


def _described(described: Mapping[str, Any], info: Path, others: str) -> Any:  # noqa: ANN401
    """Take a description's source, format, configuration and split; say what else tunewright must be told."""
    hub, file_name = described.get("hf_hub_url"), described.get("file_name")
    if not isinstance(hub or file_name, str):
        note = f"{info} names neither hf_hub_url nor file_name: set data.source"
        return Aside("unsupported", note)
    source = str(hub) if hub else str(info.parent / str(file_name))
    sets: dict[str, Any] = {"data.source": source, "data.chat_format": _format(described)}
    if hub:
        wanted = (("data.hub_config", "subset"), ("data.hub_split", "split"))
        sets |= {key: described[name] for key, name in wanted if described.get(name)}
    if isinstance(described.get("num_samples"), int):
        sets["data.max_rows"] = described["num_samples"]
    return Sets(sets, f"by {info}{_to_rename(described)}{others}")


def _format(described: Mapping[str, Any]) -> str:
    """Return the format of a data set's rows, in tunewright's words."""
    columns, tags = _mapping(described, "columns"), _mapping(described, "tags")
    if described.get("ranking"):
        return "preference"
    if "kto_tag" in columns:
        return "kto"
    if described.get("formatting", "alpaca") == "alpaca":
        return "text" if set(columns) == {"prompt"} else "alpaca"
    return "messages" if tags.get("role_tag") == OPENAI_ROLE else "sharegpt"


def _to_rename(described: Mapping[str, Any]) -> str:
    """Name the columns that tunewright reads under another name."""
    wrong = [
        f"'{name}' to '{COLUMNS[word][0]}'"
        for word, name in _mapping(described, "columns").items()
        if word in COLUMNS and name not in COLUMNS[word]
    ]
    unread = sorted(set(_mapping(described, "columns")) - set(COLUMNS))
    told = f"; rename the columns {', '.join(wrong)}" if wrong else ""
    return told + (f"; not read: {', '.join(unread)}" if unread else "")


def _mapping(described: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = described.get(key)
    return value if isinstance(value, Mapping) else {}
