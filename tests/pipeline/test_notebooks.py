"""Notebooks as steps: parameters in, the executed copy kept in the reports and with the MLflow run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import nbformat
import pytest
from notebook_files import copy_of, run_notebook, runs_of, said_in, write_notebook
from sessions import call, done, only_complaint

GIVEN = sorted(
    (resources.files("tunewright") / "templates" / "notebooks").iterdir(), key=lambda each: each.name
)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project in which nothing has run; each test brings a notebook with a name of its own."""
    folder = tmp_path_factory.mktemp("notebooks")
    done(folder, "init", "shop")
    return folder / "shop"


@pytest.mark.slow
def test_the_notebooks_of_a_new_project_run_after_its_pipeline(ran, tmp_path):
    project = tmp_path / "shop"
    shutil.copytree(ran.folder, project, symlinks=True)
    for given, word, says in (
        ("explore_data", "split=test", "Length of the texts"),
        ("compare_models", "a=1", "shop/1 against shop/2"),
    ):
        answer = done(project, "notebook", "run", f"notebooks/{given}.ipynb", word, "examples=2", "--json")
        copy = copy_of(project, given)
        code = [cell for cell in copy.cells if cell.cell_type == "code"]
        outputs = [output for cell in code for output in cell.outputs]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert [output for output in outputs if output.get("name") == "stderr"] == []
        assert any("image/png" in output.get("data", {}) for output in outputs)
        assert says in said_in(copy) + "".join(cell.source for cell in code)
        page = Path(answer.facts["page"]).read_text(encoding="utf-8")
        assert "cdnjs" not in page
        assert 'src="http' not in page
        ((run, artefacts),) = runs_of(project, given)
        assert run.info.run_id == answer.facts["run_id"] == copy.metadata.tunewright.run_id
        assert run.info.status == "FINISHED"
        assert artefacts == [f"notebook/{given}.html", f"notebook/{given}.ipynb"]
        assert run.data.params == {word.partition("=")[0]: word.partition("=")[2], "examples": "2"}
        digest = json.loads(done(project, "data", "show", "--json").out)["digest"]
        assert run.data.tags["tunewright.data_digest"] == digest


@pytest.mark.slow
def test_what_the_notebooks_show_is_what_the_commands_say(ran):
    from tunewright import Project

    opened = Project.open(ran.folder)
    assert opened.models() == done(ran.folder, "models", "list", "--json").facts
    found = opened.compare("1", "2")
    said = done(ran.folder, "models", "compare", "1", "2", "--json").facts
    assert found.comparison.model_dump(mode="json") == said["comparison"]


@pytest.mark.parametrize("given", GIVEN, ids=lambda each: each.name)
def test_the_notebooks_that_a_project_gets_are_clean(given, project):
    text = given.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", ())] == ["parameters"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert all(cell.id.replace("-", "").isalpha() for cell in notebook.cells)
    assert (project / "notebooks" / given.name).read_text(encoding="utf-8") == text


def test_a_notebook_of_the_users_is_not_replaced(tmp_path):
    mine = write_notebook(tmp_path / "shop" / "notebooks" / "explore_data.ipynb", "mine = 1").read_bytes()
    done(tmp_path, "init", "shop")
    assert (tmp_path / "shop" / "notebooks" / "explore_data.ipynb").read_bytes() == mine


def test_given_parameters_are_set_and_the_others_keep_their_defaults(project):
    path = write_notebook(
        project / "work" / "a sum.ipynb",
        "rate = 1  # default=1\nname: str = 'x'\nkept = {'a': [1,\n 2]}",
        "import os, sys\nprint([rate, name, kept])\nprint(sys.executable)\nprint(os.getcwd())",
    )
    answer = run_notebook(path, "rate=1e-3", 'name={"é": [null, "2026-01-01"]}', "--json")
    assert answer.code == 0, answer.err
    copy = copy_of(project, "a-sum")
    assert said_in(copy).splitlines() == [
        "[0.001, {'é': [None, '2026-01-01']}, {'a': [1, 2]}]", sys.executable, str(project / "work"),
    ]  # fmt: skip
    assert [cell.id for cell in copy.cells] == ["title", "cell-0", "injected-parameters", "cell-1"]
    assert answer.facts["parameters"] == {"rate": 0.001, "name": {"é": [None, "2026-01-01"]}}
    assert answer.facts["cells"] == 3


def test_the_users_kernels_and_settings_are_not_asked(project, tmp_path, monkeypatch):
    kernel = tmp_path / "data" / "kernels" / "python3" / "kernel.json"
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "0.py"
    for path, text in (
        (kernel, json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "x"})),
        (startup, "raise SystemExit('the startup file of the user')"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    spec = {"name": "some-env", "display_name": "some env", "language": "python"}
    path = write_notebook(
        project / "own.ipynb",
        "import matplotlib; print(matplotlib.get_backend())",
        metadata={"kernelspec": spec},
    )
    answer = run_notebook(path)
    assert answer.code == 0, answer.err
    assert "inline" in said_in(copy_of(project, "own"))


def test_a_failing_cell_is_named_and_what_ran_is_kept(project):
    path = write_notebook(
        project / "fails.ipynb",
        "rows = 1",
        "print('before')",
        "\nrows = rows / 0\nprint(rows)",
        "print('after')",
    )
    answer = run_notebook(path, "rows=2")
    assert answer.code == 1
    assert answer.complaint == (
        "error: fails.ipynb, cell 4 (rows = rows / 0): ZeroDivisionError: division by zero; "
        f"what ran is in {project / 'reports' / 'notebooks' / 'fails.ipynb'}"
    )
    copy = copy_of(project, "fails")
    assert said_in(copy) == "before\n"
    assert copy.cells[4].outputs[-1].ename == "ZeroDivisionError"
    assert copy.cells[5].execution_count is None
    ((run, artefacts),) = runs_of(project, "fails")
    assert run.info.status == "FAILED"
    assert "ZeroDivisionError" in run.data.tags["tunewright.error"]
    assert "notebook/fails.ipynb" in artefacts


def test_a_cell_that_is_expected_to_fail_may(project):
    path = write_notebook(project / "may.ipynb", "x = 1", "1 / 0", "print('after')")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, path)
    answer = run_notebook(path)
    assert answer.code == 0, answer.err
    assert said_in(copy_of(project, "may")) == "after\n"


def test_a_notebook_runs_from_python_in_the_same_words(project):
    from tunewright import InputError, Project

    path = write_notebook(project / "python.ipynb", "size = 1", "print(size * 2)")
    ran = Project.open(project).run_notebook(path, {"size": 21}, timeout_s=60)
    assert said_in(nbformat.read(ran.copy, as_version=4)) == "42\n"
    with pytest.raises(InputError, match="can't be written"):
        Project.open(project).run_notebook(path, {"size": Path("x")})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("a.ipynb", "ratio=2"), "a.ipynb: 'ratio': is not set in the parameters cell; did you mean 'ratios'?"),
        (("a.ipynb", "zzz=2"), "known: ratios, name"),
        (("a.ipynb", "name"), "'name': is not a parameter; write it as name=value"),
        (("a.ipynb", "name=1", "name=2"), "parameter 'name': is given twice"),
        (("a.ipynb", "name=[1"), "parameter 'name': is not YAML"),
        (("a.ipynb", "name=.inf"), "inf can't be written into a notebook"),
        (("a.ipynb", "name={1: 2}"), "can't be written into a notebook"),
        (("a.ipynb", "--timeout", "0"), "Invalid value for '--timeout'"),
        (("bare.ipynb", "name=1"), "bare.ipynb: has no cell tagged 'parameters'"),
        (("b.ipynb",), "b.ipynb: no such notebook; did you mean 'a.ipynb'?"),
        (("text.ipynb",), "text.ipynb: is not a notebook"),
        (("list.ipynb",), "list.ipynb: is not a notebook"),
        (("empty.ipynb",), "empty.ipynb: is not a notebook"),
        (("julia.ipynb",), "julia.ipynb: is in julia"),
        (("reports/notebooks/a.ipynb",), "is the copy of an earlier run; run the notebook itself"),
    ],
)  # fmt: skip
def test_a_wrong_use_is_refused_before_anything_runs(project, words, says):
    path = write_notebook(project / "a.ipynb", "%matplotlib inline\nratios, name = 1, 'a=b'")
    bare = nbformat.read(path, as_version=4)
    bare.cells[1].metadata = {}
    nbformat.write(bare, project / "bare.ipynb")
    write_notebook(project / "julia.ipynb", "x", metadata={"language_info": {"name": "julia"}})
    for name, text in (("text", "hello"), ("list", "[]"), ("empty", "")):
        (project / f"{name}.ipynb").write_text(text)
    (project / "reports" / "notebooks").mkdir(parents=True, exist_ok=True)
    copy = Path(shutil.copy(path, project / "reports" / "notebooks"))
    answer = call(project, "notebook", "run", *words)
    assert answer.code == 2
    assert says in answer.complaint
    assert copy.read_bytes() == path.read_bytes()
    assert not (project / "reports" / "notebooks" / "a.html").exists()


def test_without_the_extra_one_line_says_what_to_install(project):
    write_notebook(project / "extra.ipynb", "x = 1")
    code = (
        "import sys\n"
        "for name in ('ipykernel', 'nbclient', 'nbconvert', 'nbformat'): sys.modules[name] = None\n"
        "from tunewright.cli.app import main\n"
        "main(['notebook', 'run', 'extra.ipynb', 'x=2'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=os.environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    complaint = only_complaint(ended.stderr)
    assert complaint == "error: a notebook needs an extra; pip install 'tunewright[notebooks]'"
