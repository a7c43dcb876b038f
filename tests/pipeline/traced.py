"""A project with a past: two data versions, two trainings, answers, a selection, a labelled batch, a third version."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions import done
from versioned import relabel, source_of

RELABELLED = 10
UNSURE = "please just sort it out for me"
"""Stands twice with different labels, and is set aside for it."""
LONG = "it was broken and then " * 40 + "the end"
"""The same, with more text than the quarantine file shows."""
KEY = "my key is AKIA" + "Q3EXAMPLE7ZWXYT2 where is my parcel"
"""Looks like a secret, which the quarantine file leaves out."""
NEW = [
    "could somebody tell me where on earth my teapot is",
    "the blue lamp came in three pieces",
    "please send it to my sister instead",
    "i forgot which mail i signed up with",
    "is the oak table also sold in white",
    "take the second chair off my order",
]
"""Texts that come in later."""


@dataclass(frozen=True)
class Past:
    """The project, and what the tests ask about."""

    folder: Path
    first: dict[str, Any]
    """What the first run answered."""
    second: dict[str, Any]
    relabelled: tuple[str, str, str]
    """A text, its label before, and after."""
    kept: str
    """A text whose label never changed."""
    answers: dict[str, Any]
    selection: dict[str, Any]
    batch: dict[str, Any]


def lived(shop: Path) -> Past:
    """Let a project live through it; the shop is new and its source inside."""
    source = source_of(shop)
    with source.open("a", newline="") as stream:
        rows = [
            ("", "refund_request"),
            *((text, label) for text in (UNSURE, LONG) for label in ("refund_request", "cancel_order")),
        ]
        csv.writer(stream, lineterminator="\n").writerows([*rows, (KEY, "order_status")])
    before = rows_of(source)
    first = done(shop, "run", "data.validation.quarantine_flagged=true", "--json").facts
    relabel(source, RELABELLED)
    after = rows_of(source)
    second = done(shop, "run", "data.validation.quarantine_flagged=true", "--json").facts
    done(shop, "models", "promote", f"shop/{second['version']}")
    (shop.parent / "new.txt").write_text("\n".join(NEW) + "\n")
    answers = done(shop, "infer", str(shop.parent / "new.txt"), "--json").facts
    selection = done(shop, "sample", "--rows", "4", "--json").facts
    batch = labelled(shop, selection["folder"])
    done(shop, "run", "--until", "split", "data.validation.quarantine_flagged=true")
    return Past(
        shop, first, second, (before[0][0], before[0][1], after[0][1]), before[-30][0], answers, selection, batch
    )  # fmt: skip


def rows_of(source: Path) -> list[list[str]]:
    """Return text and label of each row."""
    with source.open(newline="") as stream:
        head, *rows = list(csv.reader(stream))
    assert head == ["text", "intent"]
    return rows


def labelled(shop: Path, selection: str) -> dict[str, Any]:
    """Label every row of a selection and take the labels back."""
    handed = shop.parent / "ada.csv"
    done(shop, "labels", "export", selection, str(handed))
    with handed.open(encoding="utf-8-sig", newline="") as stream:
        head, *rows = list(csv.reader(stream))
    for row in rows:
        row[head.index("label")] = "order_status"
    with handed.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    words = ("labels", "import", str(handed), "--selection", selection, "--name", "monday", "--json")
    return done(shop, *words).facts
