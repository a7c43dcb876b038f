"""Write notebooks for tests, and read what became of them."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sessions import Answer, call


def notebook_of(*cells: str, metadata: dict | None = None) -> nbformat.NotebookNode:
    """Make a notebook of a title and code cells; the first code cell is the one with the parameters."""
    code = [new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(cells)]
    code[0].metadata["tags"] = ["parameters"]
    return new_notebook(cells=[new_markdown_cell("# A title", id="title"), *code], metadata=metadata or {})


def write_notebook(path: Path, *cells: str, metadata: dict | None = None) -> Path:
    """Write such a notebook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook_of(*cells, metadata=metadata), path)
    return path


def run_notebook(path: Path, *words: str) -> Answer:
    """Run a notebook from the command line, standing in its folder."""
    return call(path.parent, "notebook", "run", path.name, *words)


def copy_of(project: Path, name: str) -> nbformat.NotebookNode:
    """Read the executed copy of a notebook."""
    notebook = nbformat.read(project / "reports" / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def said_in(notebook: nbformat.NotebookNode) -> str:
    """Return what all cells printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def runs_of(project: Path, name: str) -> list:
    """Return the MLflow executions of a notebook, each with the names of its artefacts."""
    from tunewright import Project
    from tunewright.registry.tracking import connect

    opened = Project.open(project)
    tracking = connect(opened.last_recipe(), opened.paths)
    found = tracking.client.search_runs(
        [tracking.experiment_id],
        filter_string=f"tags.`tunewright.step` = 'notebook-{name}' AND tags.`tunewright.kind` = 'execution'",
    )
    listed = [tracking.client.list_artifacts(run.info.run_id, "notebook") for run in found]
    return list(zip(found, [[each.path for each in files] for files in listed], strict=True))
