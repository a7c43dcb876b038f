"""The data card: one HTML page about a data set, self-contained, for a person who would rather look."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.chat.card import conversations_of
from tunewright.data.dataset import SPLITS, Dataset
from tunewright.data.parts import read_parts
from tunewright.data.split_rows import PROMPT
from tunewright.data.validation import VALIDATION, ValidationSummary
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json, write_text
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TEMPLATE = "card.html"
MOST_LABELS = 40
"""Labels with a bar of their own; the others share a line."""
MOST_HISTOGRAMS = 8
CLUSTERS = 5
MEMBERS = 4
BINS = 32
LONGEST_TEXT = 240
LONGEST_TURN = 1_200
_VIEW_PERCENTILE = 99


@dataclass(frozen=True, slots=True)
class LabelBar:
    """One label's rows by split."""

    name: str
    rows: int
    by_split: dict[str, int]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Lengths of one label's texts; heights are shares of its largest bin."""

    name: str
    rows: int
    median: float
    heights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Texts that are near-duplicates of each other."""

    rows: int
    split: str
    members: tuple[tuple[int, str, str], ...]
    """(row, label, text) of a few."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a split."""

    row: int
    text: str
    label: str
    group: int
    split: str


def write_card(dataset: Dataset, path: Path) -> None:
    """Write the data card of a data set.

    Args:
        dataset: What the split step wrote.
        path: The HTML file; it needs no other file and runs no script.

    Raises:
        InputError: When the data set is incomplete.
        TunewrightError: When the file can't be written.
    """
    template = open_template(
        "tunewright.data", TEMPLATE, short=_short, cut=_cut, words=lambda name: str(name).replace("_", " ")
    )
    page = template.render(_facts(dataset))
    try:
        write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    except OSError as error:
        raise TunewrightError(
            f"can't be written ({error.strerror or error})",
            place=str(path),
            mend="free some space or give write permission",
        ) from error


def _facts(dataset: Dataset) -> dict[str, Any]:
    """Return what the template shows."""
    manifest = dataset.manifest
    rows = _rows(dataset)
    kept = sum(manifest.splits.values())
    bars = _bars(dataset)
    limit, histograms = _histograms(rows, [bar.name for bar in bars[:MOST_HISTOGRAMS]])
    return {
        "manifest": manifest,
        "summary": ValidationSummary.model_validate(read_json(dataset.root / VALIDATION)),
        "kept": kept,
        "quarantined": sum(manifest.quarantined.values()),
        "flow": _flow(manifest.splits, manifest.quarantined),
        "bars": bars[:MOST_LABELS],
        "hidden": bars[MOST_LABELS:],
        "histograms": histograms,
        "longest_bin": limit,
        "clusters": _clusters(rows),
        "is_proven": manifest.leaks["normalised_text"] == 0,
        "near_leaks": manifest.leaks["near_duplicate"],
        "prompt_leaks": manifest.leaks.get(PROMPT, 0),
        "chat": conversations_of(dataset) if dataset.holds_conversations else None,
    }


def _rows(dataset: Dataset) -> list[_Row]:
    """Read every row of every split."""
    names = ("row", "text", "label", "group")
    return [
        _Row(row, text, label, group, split)
        for split in SPLITS
        for table in read_parts(dataset.root / split, names)
        for row, text, label, group in zip(*(table.column(name).to_pylist() for name in names), strict=True)
    ]


def _flow(splits: dict[str, int], quarantined: dict[str, int]) -> list[tuple[str, str, int, float]]:
    """Return (kind, name, rows, share of all) of the pieces that the rows read fall into."""
    pieces: list[tuple[str, str, int]] = [("split", name, splits[name]) for name in SPLITS]
    pieces += [("bad", reason, rows) for reason, rows in quarantined.items()]
    total = sum(rows for _, _, rows in pieces) or 1
    return [(kind, name, rows, rows / total) for kind, name, rows in pieces]


def _bars(dataset: Dataset) -> list[LabelBar]:
    """Return the labels, most rows first."""
    by_split = dataset.manifest.split_labels
    bars = [
        LabelBar(name, sum(by_split[split][name] for split in SPLITS), {s: by_split[s][name] for s in SPLITS})
        for name in dataset.label_names
    ]
    return sorted(bars, key=lambda bar: (-bar.rows, bar.name))


def _histograms(rows: list[_Row], labels: list[str]) -> tuple[int, list[Histogram]]:
    """Return the largest length shown and a histogram for each label; longer texts count in the last bin."""
    import numpy as np

    lengths: npt.NDArray[np.int64] = np.array([len(row.text) for row in rows], np.int64)
    names = np.array([row.label for row in rows])
    limit = max(BINS, int(np.percentile(lengths, _VIEW_PERCENTILE)))
    found = []
    for name in labels:
        own = lengths[names == name]
        counts, _ = np.histogram(np.minimum(own, limit), bins=BINS, range=(0, limit))
        heights = tuple(round(float(count / counts.max()), 4) for count in counts)
        found.append(Histogram(name, len(own), float(np.median(own)), heights))
    return limit, found


def _clusters(rows: list[_Row]) -> list[Cluster]:
    """Return the largest groups that were kept together, with a few members each."""
    sizes = Counter(row.group for row in rows)
    found = []
    for group, size in sizes.most_common(CLUSTERS):
        if size > 1:
            own = [row for row in rows if row.group == group]
            members = tuple((row.row, row.label, row.text) for row in own[:MEMBERS])
            found.append(Cluster(size, own[0].split, members))
    return found


def _short(text: str | None, length: int = LONGEST_TEXT) -> str:
    """Return a text cut to a length that fits the page."""
    whole = " ".join((text or "").split())
    return whole if len(whole) <= length else whole[: length - 1] + "…"


def _cut(text: str) -> str:
    """Return a text with its lines, cut to a length that fits an example."""
    return text if len(text) <= LONGEST_TURN else text[: LONGEST_TURN - 1] + "…"
