"""Validation: judge every row, set the bad ones aside, cluster near-duplicates, stop when too much is wrong.

Parts stream by: one pass judges rows and keeps a few numbers of each, one clusters, one writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.chat.figures import Shapes
from tunewright.data.chat.stored import holds_conversations
from tunewright.data.dataset import Facts
from tunewright.data.duplicates import near_duplicates, shingle_size
from tunewright.data.judging import judge, texts_at
from tunewright.data.outliers import length_outliers
from tunewright.data.parts import PART_ROWS, PartWriter, read_parts, writing_parts
from tunewright.data.privacy import check_regions
from tunewright.data.quarantine import QuarantinedRow, read_rejected, shortened, write_quarantine
from tunewright.data.rules import (
    COPY,
    REASONS,
    Rows,
    detail,
    first_of,
    set_conflicts_aside,
    set_copies_aside,
)
from tunewright.support.errors import InputError, nearest
from tunewright.support.files import write_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.config.data import Validation

VALIDATION = "validation.json"
_FEWEST_LABELS = 2


class ValidationSummary(Facts):
    """What validation found; ``validation.json`` holds it."""

    rows: int
    """Rows read, those that could not be parsed included."""
    kept: int
    labels: dict[str, int]
    """Kept rows by label."""
    quarantined: dict[str, int]
    """Rows set aside by reason, commonest first."""
    flags: dict[str, int]
    """Kept rows flagged, by kind."""
    flagged_rows: dict[str, tuple[int, ...]]
    """The first row numbers of each kind of flag."""
    languages: dict[str, int]
    """Texts whose language is sure, by ISO 639 code, commonest first."""
    quality: dict[str, float]
    examples: dict[str, tuple[QuarantinedRow, ...]]
    """A few of the rows set aside, by reason."""


def validate(source: Path, config: Validation, *, out: Path, quarantine: Path) -> ValidationSummary:
    """Judge the rows of a folder of parts and write the good ones with their clusters.

    Args:
        source: Parts that cleaning wrote, beside ``source.json`` and the like.
        config: The rules.
        out: Folder of good rows; adds ``group`` (near-duplicate cluster) and ``text_group`` (same words),
            both the row number of the first member. Replaced as a whole, or not at all.
        quarantine: JSONL file of the rows set aside; written also when the run stops.

    Returns:
        What was found.

    Raises:
        InputError: When too many rows are bad, a label has too few rows, or there is only one label; of a language
            model's rows, when too few are left.
    """
    check_regions(config.phone_regions)
    rejected = read_rejected(source)
    shapes = Shapes() if holds_conversations(source) else None
    rows, findings = judge(source, config, shapes=shapes)
    rows = set_copies_aside(rows) if config.duplicates == "drop" else rows
    rows = set_conflicts_aside(rows, "keep" if shapes else config.conflicts)
    aside = _quarantined(source, rows, config, labelled=shapes is None)
    counts, examples = write_quarantine(quarantine, rejected, aside)
    labels = _label_counts(rows)
    total = len(rows.row) + len(rejected)
    _refuse_bad(total, counts, config=config, quarantine=quarantine)
    refuse = _refuse_labels if shapes is None else _refuse_few
    refuse(total, labels, commonest=_commonest(counts), config=config)

    group, text_group = _groups(source, rows, config)
    findings.add_mask("length_outlier", rows.row, rows.good & _outliers(rows))
    summary = ValidationSummary(
        rows=total,
        kept=int(rows.good.sum()),
        labels=labels,
        quarantined=counts,
        flags=findings.counts(rows.row[rows.good]),
        flagged_rows=findings.first_rows(rows.row[rows.good]),
        languages=dict(findings.languages.most_common()),
        quality=_quality(
            rows, group, text_group, _balance(labels) if shapes is None else shapes.figures(rows.good)
        ),
        examples=examples,
    )
    with writing_parts(out) as folder:
        _write_good(source, rows.good, group, text_group, folder)
        write_json(folder / VALIDATION, summary.model_dump(mode="json"))
        for name in ("source.json", "cleaning.json"):
            if (source / name).exists():
                shutil.copyfile(source / name, folder / name)
    return summary


def _quarantined(source: Path, rows: Rows, config: Validation, *, labelled: bool) -> Iterator[QuarantinedRow]:
    """Give the rows set aside, in source order."""
    start = 0
    for table in read_parts(source, ("row", "source", "text", "label")):
        for index in (~rows.good[start : start + table.num_rows]).nonzero()[0].tolist():
            entry = {name: table.column(name)[index].as_py() for name in table.column_names}
            reason = REASONS[rows.reason[start + index]]
            yield QuarantinedRow(
                row=entry["row"],
                source=entry["source"] or "",
                reason=reason,
                detail=detail(
                    reason,
                    text=entry["text"],
                    label=entry["label"],
                    other=int(rows.other[start + index]),
                    config=config,
                    labelled=labelled,
                ),
                text=None if reason == "secret" else shortened(entry["text"]),
                label=entry["label"],
            )
        start += table.num_rows


def _label_counts(rows: Rows) -> dict[str, int]:
    """Return good rows by label, names sorted."""
    import numpy as np

    counts = np.bincount(rows.label[rows.good], minlength=len(rows.label_names))
    by_name = zip(rows.label_names, counts.tolist(), strict=True)
    return dict(sorted((name, count) for name, count in by_name if count))


def _refuse_bad(total: int, counts: dict[str, int], *, config: Validation, quarantine: Path) -> None:
    """Stop when too many rows are bad.

    Raises:
        InputError: Naming the commonest reasons.
    """
    bad = sum(rows for reason, rows in counts.items() if reason != COPY)
    if bad > config.max_quarantined_share * total:
        raise InputError(
            f"{bad:,} of {total:,} rows are bad ({_commonest(counts)}), more than"
            f" data.validation.max_quarantined_share={config.max_quarantined_share:g} allows",
            place=str(quarantine),
            mend="look at the rows there, mend the source or its reading options, or raise the share",
        )


def _commonest(counts: dict[str, int]) -> str:
    """Name the commonest reasons, copies aside; empty where there are none."""
    bad = [(reason, rows) for reason, rows in counts.items() if reason != COPY]
    return ", ".join(f"{reason} {rows:,}" for reason, rows in bad[:3])


def _refuse_labels(total: int, labels: dict[str, int], *, commonest: str, config: Validation) -> None:
    """Stop when what is left is not fit to tell labels apart.

    Raises:
        InputError: Only one label, or a label with too few rows.
    """
    if len(labels) < _FEWEST_LABELS:
        left = f"only the label '{next(iter(labels))}' is" if labels else "no row is"
        raise InputError(
            f"{left} left of {total:,} rows" + (f" ({commonest} set aside)" if commonest else ""),
            place="data",
            mend="a classifier needs two labels: check data.label_column and data.text_column",
        )
    known = {name: labels.get(name, 0) for name in (config.labels or labels)}
    rare, rows = min(known.items(), key=lambda item: item[1])
    if rows < config.min_rows_per_label:
        near = nearest(rare, [name for name in labels if name != rare])
        raise InputError(
            f"the label '{rare}' has {rows} good row{'s' * (rows != 1)},"
            f" at least {config.min_rows_per_label} are needed (data.validation.min_rows_per_label)",
            place="data",
            mend=f"add rows or merge the label with another{f' ({near})' if near else ''}",
        )


def _refuse_few(total: int, kinds: dict[str, int], *, commonest: str, config: Validation) -> None:
    """Stop when too few rows of a language model are left to make three splits.

    Raises:
        InputError: Saying how many there are.
    """
    left = sum(kinds.values())
    if left < config.min_rows_per_label:
        raise InputError(
            f"{left or 'no'} good row{'s are' if left != 1 else ' is'} left of {total:,}"
            + (f" ({commonest} set aside)" if commonest else "")
            + f", at least {config.min_rows_per_label} are needed (data.validation.min_rows_per_label)",
            place="data",
            mend="add rows, or look at data/quarantine.jsonl for what became of the others",
        )


def _groups(
    source: Path, rows: Rows, config: Validation
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return, for every good row, the row number of the first near-duplicate and of the first same text."""
    import numpy as np

    places = np.flatnonzero(rows.good)
    alike = first_of(rows.words[places])
    leaders = np.flatnonzero(alike == np.arange(len(places)))
    clusters = near_duplicates(
        lambda positions: texts_at(source, positions),
        places[leaders],
        same=first_of(rows.key[places[leaders]]),
        threshold=config.near_duplicate_threshold,
        size=shingle_size(float(np.median(rows.characters[places]))),
    )
    first = np.empty(len(places), np.int64)
    first[leaders] = leaders[clusters]
    return rows.row[places[first[alike]]], rows.row[places[first_of(rows.key[places])]]


def _outliers(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return a mask over all rows of the good ones with an unusual length."""
    import numpy as np

    mask = np.zeros(len(rows.row), bool)
    mask[rows.good] = length_outliers(rows.characters[rows.good])
    return mask


def _balance(labels: dict[str, int]) -> dict[str, float]:
    """Return how uneven the labels are."""
    return {"imbalance": round(max(labels.values()) / min(labels.values()), 4)}


def _quality(
    rows: Rows,
    group: npt.NDArray[np.int64],
    text_group: npt.NDArray[np.int64],
    further: dict[str, float],
) -> dict[str, float]:
    """Return the figures of the kept rows."""
    import numpy as np

    _, sizes = np.unique(group, return_counts=True)
    lengths = rows.characters[rows.good]
    return {
        "near_duplicate_rows": float(len(group) - len(sizes)),
        "near_duplicate_clusters": float((sizes > 1).sum()),
        "largest_cluster": float(sizes.max()),
        "same_words_rows": float(len(text_group) - len(np.unique(text_group))),
        **further,
        "mean_characters": round(float(lengths.mean()), 2),
        "median_characters": float(np.median(lengths)),
        "p95_characters": float(np.percentile(lengths, 95)),
        "max_characters": float(lengths.max()),
    }


def _write_good(
    source: Path,
    good: npt.NDArray[np.bool_],
    group: npt.NDArray[np.int64],
    text_group: npt.NDArray[np.int64],
    folder: Path,
) -> None:
    """Write the good rows with their clusters."""
    import pyarrow as pa

    writer = PartWriter(folder, rows=PART_ROWS)
    start = written = 0
    for table in read_parts(source):
        kept = table.filter(pa.array(good[start : start + table.num_rows]))
        start += table.num_rows
        span = slice(written, written + kept.num_rows)
        written += kept.num_rows
        for name, values in (("group", group), ("text_group", text_group)):
            kept = kept.append_column(name, pa.array(values[span], pa.int64()))
        writer.add(kept)
    writer.close()
