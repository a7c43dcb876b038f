"""What a trace finds, as frozen facts; lists run from the oldest to the newest."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tunewright.data.dataset import Facts
from tunewright.data.matching import Match  # noqa: TC001 - pydantic reads it at run time


class DataFacts(Facts):
    """A version of the data set."""

    commit: str | None
    """Commit of its pointers; None where they are not committed."""
    when: str
    """When it was committed, ISO 8601; empty where it isn't."""
    digest: str
    run_id: str
    """The run that made it; empty when it isn't known."""
    source: str = ""
    splits: dict[str, int] = Field(default_factory=dict)
    """Rows by split; empty where its bytes are not on this disk."""
    batches: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Labelled batches that are in it: rows by batch and split."""


class RunFacts(Facts):
    """A run that learned from data."""

    run_id: str
    name: str
    step: str
    """``baseline`` (a head on the untouched base), ``train``, or ``sweep`` (one trial)."""
    status: str
    started: str
    """UTC, ISO 8601."""
    data_digest: str
    splits: tuple[str, ...] = ()
    """Where the row that is traced stood in its data; empty when a version is traced."""


class ModelFacts(Facts):
    """A registered model version."""

    name: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    splits: tuple[str, ...] = ()
    """As in ``RunFacts``."""

    @property
    def reference(self) -> str:
        """``NAME/3``."""
        return f"{self.name}/{self.version}"


class AnswerFolder(Facts):
    """A folder of answers that a version gave."""

    folder: str
    model: str
    rows: int
    created: str


class ListedRow(Facts):
    """A row of a version."""

    row: int
    """Row number in the source, from 1."""
    source: str
    split: str
    label: str
    text: str


class VersionTrace(Facts):
    """Where a model version or a data version comes from, and what came of it."""

    asked: str
    kind: Literal["model", "data"]
    model: dict[str, Any] | None
    """What ``registry.lineage.trace`` says of a model version; None for a data version."""
    data: DataFacts | None
    """None where the data of a model version is not known any more."""
    runs: tuple[RunFacts, ...]
    models: tuple[ModelFacts, ...]
    answers: tuple[AnswerFolder, ...]
    rows: tuple[ListedRow, ...] = ()
    """Its rows, where they were asked for."""
    rows_in_all: int = 0
    """How many there are in the splits that were asked for."""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what ``tunewright trace --json`` prints."""
        return self.model_dump(mode="json")


class Holding(Facts):
    """A row of a data version that holds the text."""

    commit: str | None
    when: str
    digest: str
    current: bool
    """It is the data that lies in the project now."""
    split: str
    row: int
    source: str
    label: str
    text: str
    match: Match


class SetAside(Facts):
    """A row of a data version that was set aside, and why."""

    commit: str | None
    when: str
    digest: str
    current: bool
    row: int
    source: str
    reason: str
    detail: str
    label: str | None
    match: Match | None
    """None where the row was asked for by its number and has no text."""


class Chosen(Facts):
    """A selection that hands the text out to be labelled."""

    folder: str
    id: str
    strategy: str
    score: float
    """Uncertainty, between 0 and 1."""
    suggested: str
    confidence: float
    model: str
    created: str
    match: Match


class Labelled(Facts):
    """A labelled batch that says what the text is."""

    batch: str
    id: str
    label: str
    annotators: tuple[str, ...]
    selection: str
    """Empty when it isn't known."""
    created: str
    match: Match


class Answered(Facts):
    """An answer that a model gave to the text."""

    folder: str
    row: int
    source: str
    label: str
    confidence: float
    truth: str | None
    model: str
    created: str
    match: Match


class RowTrace(Facts):
    """All that a text went into."""

    asked: str
    text: str | None
    """None where the row was set aside without one, or with a credential in it."""
    id: str
    """As selections and batches name it; empty without a text."""
    data: tuple[Holding, ...]
    quarantined: tuple[SetAside, ...]
    runs: tuple[RunFacts, ...]
    models: tuple[ModelFacts, ...]
    selections: tuple[Chosen, ...]
    batches: tuple[Labelled, ...]
    answers: tuple[Answered, ...]
    unread: tuple[str, ...] = ()
    """Commits of data versions whose bytes are not on this disk: nobody looked there."""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what ``tunewright trace --json`` prints."""
        return self.model_dump(mode="json")
