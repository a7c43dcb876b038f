"""Run a notebook as a step: parameters set, the executed copy kept in the reports and with the MLflow run."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import MANIFEST, Dataset
from tunewright.pipeline.executing import ExecutionRecord, Names, keep
from tunewright.pipeline.steps import NOTEBOOK
from tunewright.support.console import say
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import InputError, MissingExtraError, TunewrightError, nearest
from tunewright.support.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tunewright.pipeline.job import Job
    from tunewright.registry.executions import Execution

EXTRA = ("ipykernel", "nbclient", "nbconvert", "nbformat")
MOST_BYTES = 100 * (1 << 20)
"""A larger notebook holds outputs, not code."""
SHOWN = 60
"""Characters of a cell's first line that messages show."""


@dataclass(frozen=True, slots=True)
class NotebookRun:
    """What came of a notebook; ``tunewright notebook run --json`` prints it."""

    notebook: str
    cells: int
    parameters: Mapping[str, object]
    """Those that were given; the others kept their defaults."""
    copy: Path
    """The executed notebook."""
    page: Path
    """The same as a web page that loads nothing from elsewhere."""
    run_id: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the facts under the names that programs rely on."""
        return {
            "notebook": self.notebook,
            "cells": self.cells,
            "parameters": dict(self.parameters),
            "copy": str(self.copy),
            "page": str(self.page),
            "run_id": self.run_id,
            "seconds": round(self.seconds, 3),
        }


def run_notebook(
    job: Job,
    file: Path,
    parameters: Mapping[str, object] | None = None,
    *,
    timeout_s: int | None = None,
    name: str = "",
) -> NotebookRun:
    """Run a notebook in its own folder, as an execution of the step ``notebook-NAME``.

    A run that fails or is stopped keeps its copy too, up to and with the cell at which it ended.

    Args:
        job: The recipe says where runs are recorded; the copy goes to ``reports/notebooks`` of the project.
        file: The notebook, in Python.
        parameters: Values for names that its cell tagged ``parameters`` sets.
        timeout_s: Seconds that one cell may take; no limit by default.
        name: What the copy and the step are called by; the file's own name by default.

    Raises:
        MissingExtraError: When the packages for notebooks aren't installed.
        InputError: When the file isn't a notebook in Python, or a parameter isn't one of its.
        TunewrightError: When a cell fails: the line names it.
    """
    from tunewright.pipeline.notebook_parameters import inject
    from tunewright.registry.executions import execution
    from tunewright.registry.tracking import connect

    if any(find_spec(package) is None for package in EXTRA):
        raise MissingExtraError("a notebook", "notebooks")
    started = time.perf_counter()
    name = name or re.sub(r"[^\w.-]+", "-", file.stem).strip("-.") or "notebook"
    copy = job.paths.reports / "notebooks" / f"{name}.ipynb"
    notebook = read_notebook(file)
    if file.resolve() == copy.resolve():
        raise InputError("is the copy of an earlier run", place=str(file), mend="run the notebook itself")
    cells = len(notebook.cells)
    given = dict(parameters or {})
    inject(notebook, given, place=str(file))
    tags = {"notebook": str(file), "notebook_digest": digest_file(file), **_data_tags(job)}
    tracking = connect(job.recipe, job.paths)
    with execution(tracking, NOTEBOOK + name, params=given, tags=tags) as run:
        notebook.metadata["tunewright"] = {**tags, "run_id": run.run_id, "parameters": given}
        try:
            _run_cells(notebook, file, copy, timeout_s=timeout_s)
        except BaseException:
            with contextlib.suppress(TunewrightError):  # the first error is what the user must read
                _keep(run, notebook, copy)
            raise
        page = _keep(run, notebook, copy)
    names = Names(experiment=tracking.experiment_name, step=NOTEBOOK + name, run=run.name)
    ids = {"run_id": run.run_id, "parent_run_id": run.parent_run_id}
    keep(job.paths, ExecutionRecord(**ids, names=names, settings=digest_json(given), ended=True))
    seconds = time.perf_counter() - started
    return NotebookRun(str(file), cells, given, copy, page, run.run_id, seconds)


def run_step(job: Job, *, name: str) -> None:
    """Run a notebook that the recipe makes a step.

    Raises:
        InputError: When it lies outside the project, or ``run_notebook`` refuses it.
    """
    settings = job.recipe.notebooks[name]
    file = (job.paths.root / settings.path).resolve()
    if not file.is_relative_to(job.paths.root.resolve()):
        raise InputError(
            "lies outside the project", place=f"notebooks.{name}.path", mend="move it into notebooks/"
        )
    run_notebook(job, file, settings.parameters, name=name)


def read_notebook(file: Path) -> NotebookNode:
    """Read a notebook in Python and take its old outputs out.

    Raises:
        InputError: When there is none, it isn't a notebook, or it is in another language.
    """
    import nbformat

    place = str(file)
    if not file.is_file():
        others = [str(each) for each in file.parent.glob("*.ipynb")] if file.parent.is_dir() else []
        raise InputError("no such notebook", place=place, mend=nearest(place, others))
    if file.stat().st_size > MOST_BYTES:
        raise InputError(
            f"is larger than {MOST_BYTES >> 20} MiB", place=place, mend="clear its outputs and save it"
        )
    try:
        notebook: NotebookNode = nbformat.v4.upgrade(nbformat.read(file, as_version=4))
        nbformat.validate(notebook)
    except (
        nbformat.ValidationError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError,
    ) as error:  # fmt: skip
        words = (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
        raise InputError(
            f"is not a notebook ({words})", place=place, mend="save it anew from Jupyter"
        ) from error
    facts = notebook.metadata
    language = facts.get("language_info", {}).get("name") or facts.get("kernelspec", {}).get("language")
    if (language or "python").lower() not in ("python", "ipython"):
        raise InputError(
            f"is in {language}", place=place, mend="only Python notebooks run in tunewright's own interpreter"
        )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _run_cells(notebook: NotebookNode, file: Path, copy: Path, *, timeout_s: int | None) -> None:
    """Run the cells with a line for each, and turn a cell's failure into the line that the user reads."""
    from tunewright.pipeline.notebook_kernel import CellError, run_cells
    from tunewright.pipeline.notebook_parameters import INJECTED, is_tagged
    from tunewright.registry.tracking import without_credentials

    # The cell with the given parameters doesn't count: its author's notebook doesn't have it.
    numbers = list(accumulate(not is_tagged(cell, INJECTED) for cell in notebook.cells))

    def starting(index: int) -> None:
        cell = notebook.cells[index]
        if cell.cell_type == "code" and cell.source.strip() and not is_tagged(cell, INJECTED):
            say(f"[{numbers[index]}/{numbers[-1]}] {_first_line(cell)}")

    try:
        run_cells(notebook, folder=file.resolve().parent, timeout_s=timeout_s, starting=starting)
    except CellError as error:
        raise TunewrightError(
            without_credentials(error.fact),
            place=f"{file}, cell {numbers[error.index]} ({_first_line(notebook.cells[error.index])})",
            mend=f"what ran is in {copy}",
        ) from error


def _first_line(cell: NotebookNode) -> str:
    """Return a cell's first line that isn't empty, bounded."""
    line: str = next(line.strip() for line in cell.source.splitlines() if line.strip())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def _keep(run: Execution, notebook: NotebookNode, copy: Path) -> Path:
    """Write the notebook as it stands, also as a page that needs nothing from the network; both go to the run too."""
    import nbformat
    from nbconvert import HTMLExporter

    page = copy.with_suffix(".html")
    write_text(copy, nbformat.writes(notebook))
    addresses = [name for name in HTMLExporter.class_trait_names() if name.endswith("_url")]
    exporter = HTMLExporter(**dict.fromkeys(addresses, ""))
    text, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": copy.stem}})
    write_text(page, text)
    run.artifact(copy, "notebook")
    run.artifact(page, "notebook")
    return page


def _data_tags(job: Job) -> dict[str, str]:
    """Name the data set that the project holds while the notebook runs."""
    if not (job.paths.processed / MANIFEST).is_file():
        return {}
    return {"data_digest": Dataset.load(job.paths.processed).manifest.digest}
