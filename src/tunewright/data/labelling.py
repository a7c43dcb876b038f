"""Labels that came back from people, checked against the rows that were handed out.

Nothing is dropped silently: each label that doesn't count, and each row that got none, is set aside with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tunewright.data.labelled import LabelledRow, SetAsideLabel
from tunewright.data.text_cleaning import clean_text
from tunewright.support.errors import nearest

if TYPE_CHECKING:
    from tunewright.data.selection import SelectedRow

Conflicts = Literal["quarantine", "majority"]
UNSEEN = {"unicode_nfc": True, "control_characters": True, "whitespace": True}
"""What programs change about a text without anyone's doing: it is the same text still."""


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """One annotator's label of one row, as a file gives it."""

    place: str
    annotator: str
    id: str | None = None
    text: str | None = None
    label: str | None = None
    fault: tuple[str, str] | None = None
    """Reason and detail, where the file's row could not be understood."""


Votes = Mapping[str, Mapping[str, str]]
"""Id of a row to annotator to label."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of the labels."""

    rows: tuple[LabelledRow, ...]
    set_aside: tuple[SetAsideLabel, ...]
    votes: Votes
    """All labels that are valid by themselves, before conflicts are settled."""
    new_labels: dict[str, int]
    """Labels that were not known before, with their rows."""


@dataclass(slots=True)
class _Desk:
    """Labels under way."""

    rows: Mapping[str, SelectedRow]
    known: Collection[str]
    new_labels: bool
    seen: set[str] = field(default_factory=set)
    aside: list[SetAsideLabel] = field(default_factory=list)
    votes: dict[str, dict[str, list[tuple[str, GivenLabel]]]] = field(default_factory=dict)

    def refuse(self, given: GivenLabel, reason: str, detail: str) -> None:
        """Set a label aside."""
        self.aside.append(
            SetAsideLabel(
                reason=reason,
                detail=detail,
                place=given.place,
                id=given.id,
                text=given.text,
                label=given.label,
                annotator=given.annotator,
            )
        )


def reconcile(
    rows: Sequence[SelectedRow],
    given: Iterable[GivenLabel],
    *,
    known: Collection[str],
    new_labels: bool = False,
    conflicts: Conflicts = "quarantine",
) -> Reconciled:
    """Check labels against the rows that were handed out, and settle those on which annotators disagree.

    Args:
        rows: What was handed out.
        given: What came back, from any number of annotators.
        known: Labels that may be given.
        new_labels: Whether others may be, too.
        conflicts: A row with different labels: ``quarantine`` sets it aside, ``majority`` takes the commonest label
            (and sets it aside where two are as common).

    Returns:
        Each row with one agreed label, in the order in which they were handed out; and everything else, by reason:
        ``unreadable``, ``several_labels``, ``missing_id``, ``unknown_id``, ``changed_text``, ``missing_label``,
        ``unknown_label``, ``duplicated_id``, ``conflict``, ``outvoted``, ``missing_row``.
    """
    desk = _Desk({row.id: row for row in rows}, frozenset(known), new_labels)
    for each in given:
        _take(each, desk)
    votes = {key: _one_each(annotators, desk) for key, annotators in desk.votes.items()}
    votes = {key: found for key, found in votes.items() if found}
    labelled = [
        row for each in rows if each.id in votes if (row := _settled(each, votes[each.id], conflicts, desk))
    ]
    desk.aside += [
        SetAsideLabel(reason="missing_row", detail="no file has this row", id=row.id, text=row.text)
        for row in rows
        if row.id not in desk.seen
    ]
    fresh = Counter(row.label for row in labelled if row.label not in desk.known)
    return Reconciled(
        rows=tuple(labelled),
        set_aside=tuple(desk.aside),
        votes={key: {name: label for name, (label, _) in found.items()} for key, found in votes.items()},
        new_labels=dict(fresh.most_common()),
    )


def _take(given: GivenLabel, desk: _Desk) -> None:
    """Check one label by itself."""
    if given.id in desk.rows and given.id is not None:
        desk.seen.add(given.id)
    fault = given.fault or _fault(given, desk)
    if fault is not None:
        desk.refuse(given, *fault)
        return
    label = str(given.label)
    if label not in desk.known and not desk.new_labels:
        hint = nearest(label, sorted(desk.known))
        desk.refuse(given, "unknown_label", f"'{label}' is no label of this selection; {hint}".rstrip("; "))
        return
    annotators = desk.votes.setdefault(str(given.id), {})
    annotators.setdefault(given.annotator, []).append((label, given))


def _fault(given: GivenLabel, desk: _Desk) -> tuple[str, str] | None:
    """Return reason and detail against a label, its name aside."""
    if not given.id:
        return "missing_id", "the row has no id"
    if given.id not in desk.rows:
        return "unknown_id", "the selection has no such row"
    if given.text is not None and not _same(given.text, desk.rows[given.id].text):
        return "changed_text", f"the text that was handed out is: {desk.rows[given.id].text}"
    return None if given.label else ("missing_label", "the label is empty")


def _same(given: str, handed_out: str) -> bool:
    """Tell whether a text came back as it went, but for what programs do to it."""
    return clean_text(given, UNSEEN) == clean_text(handed_out, UNSEEN)


def _one_each(
    annotators: Mapping[str, Sequence[tuple[str, GivenLabel]]], desk: _Desk
) -> dict[str, tuple[str, GivenLabel]]:
    """Keep one label an annotator: copies of it are set aside, and all of them when they differ."""
    kept = {}
    for name, found in annotators.items():
        labels = list(dict.fromkeys(label for label, _ in found))
        if len(labels) == 1:
            kept[name] = found[0]
            repeated = found[1:]
            detail = f"{found[0][1].place} gives the same label"
        else:
            repeated = found
            detail = f"the same annotator gives {', '.join(labels)}"
        for _, given in repeated:
            desk.refuse(given, "duplicated_id", detail)
    return kept


def _settled(
    row: SelectedRow, votes: Mapping[str, tuple[str, GivenLabel]], conflicts: Conflicts, desk: _Desk
) -> LabelledRow | None:
    """Return a row with its label; labels that don't count are set aside."""
    counts = Counter(label for label, _ in votes.values()).most_common()
    clear = len(counts) == 1 or (conflicts == "majority" and counts[0][1] > counts[1][1])
    winner = counts[0][0] if clear else None
    told = ", ".join(f"{name}: {label}" for name, (label, _) in votes.items())
    for label, given in votes.values():
        if label != winner:
            desk.refuse(given, "outvoted" if clear else "conflict", told)
    if winner is None:
        return None
    names = tuple(name for name, (label, _) in votes.items() if label == winner)
    return LabelledRow(text=row.text, label=winner, id=row.id, annotators=names)
