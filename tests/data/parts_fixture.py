"""Parts as cleaning writes them, made from rows that a test names."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_source(
    folder: Path,
    rows: Sequence[tuple[str | None, str | None]],
    *,
    further: Mapping[str, Sequence[str | None]] | None = None,
    rejected: Sequence[Mapping[str, object]] = (),
    rows_a_part: int = 1000,
) -> Path:
    """Write (label, text) rows as parts beside the facts of their source."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    whole = pa.table(
        {
            "row": pa.array(range(1, len(rows) + 1), pa.int64()),
            "source": pa.array(["messages.tsv"] * len(rows), pa.string()),
            "text": pa.array([text for _, text in rows], pa.string()),
            "label": pa.array([label for label, _ in rows], pa.string()),
            "digest": pa.array([digest(text) for _, text in rows], pa.string()),
            **{name: pa.array(values, pa.string()) for name, values in (further or {}).items()},
        }
    )
    for part, start in enumerate(range(0, max(1, len(rows)), rows_a_part)):
        pq.write_table(whole.slice(start, rows_a_part), folder / f"part-{part:05d}.parquet")
    facts = {
        "facts": {
            "uri": "messages.tsv",
            "format": "tsv",
            "text_column": "text",
            "label_column": "label",
            "files": {"messages.tsv": len(rows)},
            "notes": ["no header & <no> quoting"],
        },
        "rows": len(rows),
        "unique": len({text for _, text in rows}),
        "labels": dict(Counter(label for label, _ in rows if label)),
        "rejected": dict(Counter(str(entry["reason"]) for entry in rejected)),
    }
    (folder / "source.json").write_text(json.dumps(facts))
    (folder / "cleaning.json").write_text(json.dumps({"html_entities": 2}))
    (folder / "rejected.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in rejected))
    return folder


def digest(text: str | None) -> str | None:
    """Return the digest of a text as ingest writes it."""
    if text is None:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_rows(folder: Path) -> list[dict[str, object]]:
    """Return every row of a folder's parts."""
    import pyarrow.parquet as pq

    return [row for part in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]


def read_sms(path: Path) -> list[tuple[str | None, str | None]]:
    """Return the (label, text) rows of the SMS collection."""
    lines = path.read_text(encoding="utf-8").split("\n")
    pairs = (line.split("\t", 1) for line in lines if line)
    return [(label, text) for label, text in pairs]


NOUNS = ["card", "parcel", "refund", "invoice", "password", "order", "ticket", "account"]
VERBS = ["lost", "changed", "delayed", "charged", "cancelled", "returned", "upgraded"]
ENDINGS = [
    "yesterday evening",
    "before breakfast",
    "on the train",
    "at the airport",
    "again and again",
    "for no reason",
]


def messages(count: int, labels: Sequence[str] = ("bug", "praise")) -> list[tuple[str | None, str | None]]:
    """Return distinct rows that are not near-duplicates of each other."""
    found: list[tuple[str | None, str | None]] = []
    for index in range(count):
        noise = hashlib.sha256(str(index).encode()).hexdigest()
        noun, verb = NOUNS[index % len(NOUNS)], VERBS[index % len(VERBS)]
        ending = ENDINGS[index % len(ENDINGS)]
        found.append(
            (labels[index % len(labels)], f"{noise[:12]} my {noun} was {verb} {ending} {noise[12:30]}")
        )
    return found
