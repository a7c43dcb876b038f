"""A user's project: opened, run, asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.paths import ProjectPaths

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset, SplitName
    from tunewright.data.labelling import Conflicts
    from tunewright.data.labelling_export import Format
    from tunewright.evaluation.uncertainty import Strategy
    from tunewright.models.classifier import Prediction
    from tunewright.pipeline.comparing import SideBySide
    from tunewright.pipeline.inferring import Inferred
    from tunewright.pipeline.labelling import Exported, Imported
    from tunewright.pipeline.notebooks import NotebookRun
    from tunewright.pipeline.runner import Choice
    from tunewright.pipeline.sampling import Sampled
    from tunewright.pipeline.search import SweepSettings
    from tunewright.pipeline.summary import Outcome
    from tunewright.pipeline.sweep_conclusion import SweepOutcome
    from tunewright.pipeline.tracing.answer import AnswerTrace
    from tunewright.pipeline.tracing.facts import RowTrace, VersionTrace
    from tunewright.pipeline.versioned_data import VersionedData


@dataclass(frozen=True, slots=True)
class Project:
    """One project on disk."""

    paths: ProjectPaths

    @classmethod
    def open(cls, start: Path | None = None) -> Project:
        """Open the project that holds ``start`` (default: the working directory) and read its ``.env``.

        A project that has been moved since the last time finds its local models again.

        Raises:
            InputError: When there is none.
        """
        from tunewright.config.dotenv import load_dotenv_file
        from tunewright.registry.relocation import follow_move

        paths = ProjectPaths.find(start)
        load_dotenv_file(paths.root)
        follow_move(paths.state)
        return cls(paths)

    def compose(self, overrides: Sequence[str] = ()) -> Recipe:
        """Compose the recipe from the project's configuration and overrides."""
        from tunewright.config.compose import compose

        return compose(overrides, configs=self.paths.configs)

    def last_recipe(self) -> Recipe:
        """Return the recipe of the last run, or the composed one when nothing ran yet."""
        from tunewright.pipeline.dvcfile import PARAMS_FILE, read_recipe

        return read_recipe(self.paths.root) if (self.paths.root / PARAMS_FILE).is_file() else self.compose()

    def run(self, overrides: Sequence[str] = (), *, choice: Choice | None = None) -> Outcome:
        """Run the pipeline and summarise what came of it."""
        from tunewright.pipeline.runner import run
        from tunewright.pipeline.summary import summarise

        started = time.perf_counter()
        recipe = self.compose(overrides)
        steps = run(recipe, self.paths, choice)
        return summarise(recipe, self.paths, steps, seconds=time.perf_counter() - started)

    def run_until(self, step: str, overrides: Sequence[str] = ()) -> Outcome:
        """Run the steps up to and with ``step``."""
        from tunewright.pipeline.runner import Choice

        return self.run(overrides, choice=Choice(until=step))

    def sweep(self, overrides: Sequence[str], settings: SweepSettings | None = None) -> SweepOutcome:
        """Search for the best recipe over overrides in Hydra's sweep syntax, and run the pipeline with it."""
        from tunewright.pipeline.sweeping import sweep

        return sweep(self, overrides, settings)

    def dataset(self) -> Dataset:
        """Open the data set that the last run made."""
        from tunewright.data.dataset import Dataset

        return Dataset.load(self.paths.processed)

    @property
    def data(self) -> VersionedData:
        """The project's data over time: its versions, what differs between them, remotes."""
        from tunewright.pipeline.versioned_data import VersionedData

        return VersionedData(self.paths, self.last_recipe())

    def predict(self, texts: Sequence[str], *, model: str | None = None) -> list[Prediction]:
        """Classify texts with a registered model.

        Args:
            texts: What to classify.
            model: ``NAME[@alias|/version]``; the project's champion by default.
        """
        from tunewright.registry.models import load
        from tunewright.registry.tracking import connect

        recipe = self.last_recipe()
        return load(connect(recipe, self.paths), model or f"{recipe.model_name}@champion").predict(texts)

    def infer(
        self,
        source: str,
        overrides: Sequence[str] = (),
        *,
        model: str | None = None,
        out: Path | None = None,
        force: bool = False,
    ) -> Inferred:
        """Answer every text of a file, folder or URL with a registered model and write the answers as parquet.

        Args:
            source: As in ``data.source``; labels may be absent.
            overrides: ``data.…=`` words that say how it is read.
            model: ``NAME[@alias|/version]``; the project's champion by default.
            out: Folder to write; by default one below ``data/inferred``.
            force: Answer again where the same request was answered before.
        """
        from tunewright.pipeline.incoming import version_outputs
        from tunewright.pipeline.inferring import infer

        done = infer(self, source, overrides, model=model, out=out, force=force)
        version_outputs(self, [done.folder])
        return done

    def sample(
        self,
        answers: Path | None = None,
        *,
        rows: int = 100,
        strategy: Strategy = "diverse",
        random_share: float = 0.1,
        seed: int = 42,
        repeat: bool = False,
        out: Path | None = None,
        force: bool = False,
    ) -> Sampled:
        """Choose rows worth labelling among those that ``infer`` answered.

        Args:
            answers: A folder of answers; the newest by default.
            rows: How many to choose.
            strategy: ``diverse``, ``margin``, ``least_confidence``, ``entropy`` or ``random``.
            random_share: Share drawn at random from the whole pool, as a control.
            seed: The same seed chooses the same rows.
            repeat: Whether rows of other selections may be chosen again.
            out: Folder to write; by default one below ``data/to_label``.
            force: Choose again.
        """
        from tunewright.pipeline.incoming import version_outputs
        from tunewright.pipeline.sampling import Settings, sample

        settings = Settings(rows, strategy, random_share, seed, repeat)
        done = sample(self, answers, settings, out=out, force=force)
        version_outputs(self, [done.selection.folder])
        return done

    def export_labels(
        self, selection: Path, file: Path, *, to: Format | None = None, force: bool = False
    ) -> Exported:
        """Write a selection as ``csv``, ``jsonl`` or ``label-studio`` for annotators."""
        from tunewright.pipeline.labelling import export_labels

        return export_labels(self, selection, file, to=to, force=force)

    def import_labels(
        self,
        files: Sequence[Path],
        selection: Path,
        *,
        name: str | None = None,
        conflicts: Conflicts = "quarantine",
        new_labels: bool = False,
        force: bool = False,
    ) -> Imported:
        """Check what annotators gave back against the selection and write it as a labelled batch.

        The next run learns from it too. Rows that have a split keep it from now on.
        """
        from tunewright.pipeline.incoming import join_batch
        from tunewright.pipeline.labelling import import_labels

        done = import_labels(
            self, files, selection, name=name, conflicts=conflicts, new_labels=new_labels, force=force
        )
        join_batch(self, done)
        return done

    def models(self) -> list[dict[str, Any]]:
        """Describe the versions of the project's model, newest first, as ``tunewright models list --json`` does."""
        from tunewright.registry.tracking import connect
        from tunewright.registry.versions import list_versions

        return list_versions(connect(self.last_recipe(), self.paths))

    def compare(self, a: str, b: str) -> SideBySide:
        """Compare two versions on the frozen test rows, as ``tunewright models compare`` does.

        Args:
            a: A version, ``NAME[@alias|/version]``.
            b: Another.
        """
        from tunewright.pipeline.comparing import compare_versions

        return compare_versions(self, a, b)

    def trace(self, what: str = "", *, rows: int = 0, split: SplitName | None = None) -> VersionTrace:
        """Say where a version comes from and what came of it, as ``tunewright trace`` does.

        Args:
            what: A model version (``NAME/3``, ``NAME@champion``) or a data version (a commit, digest, run, ``latest``);
                the champion by default.
            rows: How many of its rows to list at most.
            split: List rows of this split alone.
        """
        from tunewright.pipeline.tracing.version import Listing, trace_version

        return trace_version(self, what, Listing(split, rows) if rows else None)

    def trace_row(
        self,
        text: str | None = None,
        *,
        row_id: str | None = None,
        row: int | None = None,
        within: str = "",
        fetch: bool = False,
    ) -> RowTrace:
        """Say what a row went into: data versions, runs, model versions, selections, batches, answers.

        Args:
            text: Its text; or
            row_id: its id ``row-…`` in selections and labelled batches; or
            row: its number in the source.
            within: The version whose source ``row`` counts in; the present data by default.
            fetch: Fetch older data from the remote where it isn't on this disk.
        """
        from tunewright.pipeline.tracing.row import RowAsked, trace_row

        return trace_row(self, RowAsked(text, row_id, row, within), fetch=fetch)

    def trace_answer(
        self, prediction_id: str, *, rows: int = 0, split: SplitName | None = None
    ) -> AnswerTrace:
        """Say which model version gave a served answer, what it learned from, and whether it had seen the text.

        Args:
            prediction_id: ``data[].id`` of the answer, or ``x-prediction-id`` of a request with one text.
            rows: How many rows of the version's data to list at most.
            split: List rows of this split alone.
        """
        from tunewright.pipeline.tracing.answer import trace_answer
        from tunewright.pipeline.tracing.version import Listing

        return trace_answer(self, prediction_id, Listing(split, rows) if rows else None)

    def run_notebook(
        self, file: Path, parameters: Mapping[str, object] | None = None, *, timeout_s: int | None = None
    ) -> NotebookRun:
        """Run a notebook and keep its executed copy (see ``pipeline.notebooks``)."""
        from tunewright.pipeline.job import Job
        from tunewright.pipeline.notebooks import run_notebook

        return run_notebook(Job(self.last_recipe(), self.paths), file, parameters, timeout_s=timeout_s)
