"""The kernel of a notebook: where it listens, and that it ends with the run, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from notebook_files import copy_of, run_notebook, runs_of, said_in, write_notebook
from sessions import done, only_complaint

WAIT_S = 90
MARK = "NOTEBOOK_TEST"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project in which nothing has run; each test brings a notebook with a name of its own."""
    folder = tmp_path_factory.mktemp("kernels")
    done(folder, "init", "shop")
    return folder / "shop"


@pytest.fixture
def mark(monkeypatch) -> str:
    """A word in the environment of the kernel and of what it starts, by which they are found."""
    word = os.urandom(8).hex()
    monkeypatch.setenv(MARK, word)
    return word


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.pid != os.getpid() else {}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def carrying(word: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if environment_of(each).get(MARK) == word]


def none_left(word: str, *, within_s: float = 15) -> bool:
    end = time.monotonic() + within_s
    while carrying(word) and time.monotonic() < end:
        time.sleep(0.1)
    return not carrying(word)


@pytest.mark.parametrize(
    ("depth", "ports"), [(0, "1"), (9, "6")], ids=["sockets in a folder", "loopback, where paths are long"]
)
def test_a_kernel_listens_where_no_other_machine_can_reach_it(project, depth, ports, tmp_path, monkeypatch):
    """One port is ipykernel's own pipe for what its children print; over TCP its five channels come to it."""
    temporary = tmp_path.joinpath(*["temporary"] * depth) if depth else Path("/tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = write_notebook(
        project / f"ports{ports}.ipynb",
        "import psutil",
        "held = psutil.Process().net_connections('inet')\n"
        "listening = [each.laddr.ip for each in held if each.status == 'LISTEN']\n"
        "print(len(listening), *set(listening))",
    )
    answer = run_notebook(path)
    assert answer.code == 0, answer.err
    assert said_in(copy_of(project, path.stem)).split() == [ports, "127.0.0.1"]
    if depth:
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("cell", "words", "says"),
    [
        ("import time; print('x', flush=True); time.sleep(99)", ("--timeout", "1"), "took more than 1 s"),
        ("import os; print('x', flush=True); os._exit(1)", (), "its process died"),
        ("input('how many? ')", (), "StdinNotImplementedError"),
    ],
    ids=["a cell that takes too long", "a kernel that dies", "a question that nobody can answer"],
)
def test_a_cell_that_does_not_end_well_leaves_no_process(project, cell, words, says, mark):
    start = "import subprocess\nsubprocess.Popen(['sleep', '300'])\nprint('so far', flush=True)"
    path = write_notebook(project / f"bad{mark}.ipynb", "x = 1", start, cell)
    answer = run_notebook(path, *words)
    assert answer.code == 1
    assert f"cell 4 ({cell[:50]}" in answer.complaint
    assert says in answer.complaint
    assert said_in(copy_of(project, path.stem)).startswith("so far\n")
    assert none_left(mark)


@pytest.mark.parametrize(
    ("stop", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
    ids=["Ctrl-C", "SIGTERM", "kill -9"],
)
def test_a_stopped_run_leaves_no_process(project, stop, code, mark):
    started = project / f"started{mark}"
    path = write_notebook(
        project / f"stopped{mark}.ipynb",
        "import subprocess, time\nprint('so far', flush=True)",
        f"if {stop != signal.SIGKILL}: subprocess.Popen(['sleep', '300'], start_new_session=True)",
        f"open({str(started)!r}, 'w').close(); time.sleep(300)",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tunewright", "notebook", "run", path.name],
        cwd=project, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        # Where tests run in the background, Ctrl-C is ignored, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread
    )  # fmt: skip
    end = time.monotonic() + WAIT_S
    while not started.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(stop)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    assert none_left(mark)
    if stop != signal.SIGKILL:
        only_complaint(err)
        assert said_in(copy_of(project, path.stem)) == "so far\n"
        ((run, _),) = runs_of(project, path.stem)
        assert run.info.status == "KILLED"


def test_a_kernel_that_does_not_start_says_why(project, tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = run_notebook(write_notebook(project / "broken.ipynb", "x = 1"))
    assert answer.code == 1
    assert "kernel didn't start (no kernel today)" in answer.complaint
