"""What a project has collected of a text beside its data sets: selections, labelled batches, answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunewright.data.labelled import LabelledRow, read_batch
from tunewright.data.matching import Wanted, find_rows
from tunewright.data.selection import MANIFEST, Selection
from tunewright.evaluation.answers import SUMMARY, AnswerSummary, read_summary
from tunewright.pipeline.pool import LABELLED, TO_LABEL
from tunewright.pipeline.sampling import ANSWERS
from tunewright.pipeline.tracing.facts import Answered, AnswerFolder, Chosen, Labelled
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.support.paths import ProjectPaths

T = TypeVar("T")
COLUMNS = ("row", "source", "text", "label", "confidence", "truth", "model", "version")


@dataclass(frozen=True, slots=True)
class Collected:
    """Reads what a project has collected; what can't be read is noted and passed over.

    Args:
        paths: The project.
    """

    paths: ProjectPaths
    notes: list[str] = field(default_factory=list)

    def selections(self) -> Iterator[Selection]:
        """Give the selections, oldest first."""
        folders = [path.parent for path in self._there(TO_LABEL, MANIFEST)]
        found = [each for folder in folders if (each := self._read(Selection.load, folder))]
        yield from sorted(found, key=lambda each: (each.manifest.created, each.folder.name))

    def batches(self) -> Iterator[tuple[Path, list[LabelledRow]]]:
        """Give the labelled batches in the order of their names, as the data takes them in."""
        folder = self.paths.root / LABELLED
        self._note_absent(folder.with_name(f"{folder.name}.dvc"))
        for path in sorted(folder.glob("*.jsonl")):
            yield path, self._read(read_batch, path) or []

    def answer_folders(self) -> list[tuple[Path, AnswerSummary]]:
        """Give the folders of answers, oldest first."""
        folders = [path.parent for path in self._there(ANSWERS, SUMMARY)]
        found = [(folder, each) for folder in folders if (each := self._read(read_summary, folder))]
        return sorted(found, key=lambda each: (each[1].created, each[0].name))

    def answers_of(self, references: set[str]) -> tuple[AnswerFolder, ...]:
        """List the answers that some model versions gave."""
        return tuple(
            AnswerFolder(
                folder=self._name(folder), model=_model(summary), rows=summary.rows, created=summary.created
            )
            for folder, summary in self.answer_folders()
            if _model(summary) in references
        )

    def chosen(self, wanted: Wanted) -> Iterator[Chosen]:
        """Give the selections that hand a text out."""
        for selection in self.selections():
            for row in selection.rows:
                if match := wanted.match(row.text):
                    yield Chosen(
                        folder=self._name(selection.folder),
                        id=row.id,
                        strategy=row.strategy,
                        score=row.score,
                        suggested=row.suggested,
                        confidence=row.confidence,
                        model=f"{row.model}/{row.version}",
                        created=selection.manifest.created,
                        match=match,
                    )

    def labelled(self, wanted: Wanted) -> Iterator[Labelled]:
        """Give the batches that label a text."""
        for path, rows in self.batches():
            for row in rows:
                if match := wanted.match(row.text):
                    facts = self._batch_facts(path)
                    yield Labelled(
                        batch=path.stem,
                        id=row.id,
                        label=row.label,
                        annotators=row.annotators,
                        selection=str(facts.get("selection", "")),
                        created=str(facts.get("created", "")),
                        match=match,
                    )

    def answered(self, wanted: Wanted) -> Iterator[Answered]:
        """Give the answers to a text."""
        for folder, summary in self.answer_folders():
            for part in sorted(folder.glob("part-*.parquet")):
                rows = self._read(lambda path: find_rows(path, wanted, COLUMNS), part)
                for row in rows or ():
                    yield self._answer(folder, summary, row, wanted)

    def _answer(self, folder: Path, summary: AnswerSummary, row: dict[str, Any], wanted: Wanted) -> Answered:
        match = wanted.match(row["text"])
        assert match is not None  # noqa: S101 - it was found by it
        return Answered(
            folder=self._name(folder),
            row=row["row"],
            source=row["source"],
            label=row["label"],
            confidence=round(row["confidence"], 6),
            truth=row["truth"],
            model=f"{row['model']}/{row['version']}",
            created=summary.created,
            match=match,
        )

    def _batch_facts(self, path: Path) -> dict[str, Any]:
        """Read what the file beside a batch says of it; nothing where there is none."""
        beside = path.with_suffix(".json")
        facts: dict[str, Any] | None = self._read(read_json, beside) if beside.is_file() else None
        return facts or {}

    def _there(self, folder: Path, file: str) -> list[Path]:
        """List the files of a name one level below a folder; a pointer without its data is noted."""
        root = self.paths.root / folder
        for pointer in sorted(root.glob("*.dvc")):
            self._note_absent(pointer)
        return sorted(root.glob(f"*/{file}"))

    def _note_absent(self, pointer: Path) -> None:
        data = pointer.with_suffix("")
        line = f"{self._name(data)} is not on this disk: `tunewright data pull` fetches it"
        if pointer.is_file() and not data.exists() and line not in self.notes:
            self.notes.append(line)

    def _name(self, path: Path) -> str:
        inside = path.is_relative_to(self.paths.root)
        return (path.relative_to(self.paths.root) if inside else path).as_posix()

    def _read(self, read: Callable[[Path], T], path: Path) -> T | None:
        """Read something; what can't be read is noted."""
        try:
            return read(path)
        except TunewrightError as error:
            if (line := f"passed over: {error}") not in self.notes:
                self.notes.append(line)
            return None


def _model(summary: AnswerSummary) -> str:
    return f"{summary.model}/{summary.version}"
