"""Commits of pointer files leave everything of the user's as it was."""

from __future__ import annotations

import subprocess
import threading

import pytest

from tunewright.pipeline.repository import GitError, Repository
from tunewright.support.errors import InputError


def git(root, *arguments):
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def home(monkeypatch, tmp_path):
    """No configuration of this machine's user or system takes part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{name}_NAME", raising=False)
        monkeypatch.delenv(f"GIT_{name}_EMAIL", raising=False)


@pytest.fixture
def root(home, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    return folder


def write(root, **files):
    for name, text in files.items():
        (root / name).write_text(text)


def test_staged_changed_and_untracked_files_stay_as_they_were(root):
    write(root, notes="one\n", code="one\n", pointer="a\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "start")
    write(root, notes="two\n", code="two\n", scratch="mine\n", pointer="b\n")
    git(root, "add", "notes")
    made = Repository(root).commit(["pointer"], "data: split", trailers={"Tunewright-Step": "split"})
    assert sorted(git(root, "status", "--porcelain").splitlines()) == [" M code", "?? scratch", "M  notes"]
    assert git(root, "show", "--name-only", "--format=", made).split() == ["pointer"]
    assert git(root, "show", f"{made}:notes") == "one\n"
    assert git(root, "log", "-1", "--format=%(trailers:key=Tunewright-Step,valueonly)").strip() == "split"
    assert git(root, "log", "-1", "--format=%an %s").strip() == "Ada data: split"


def test_nothing_changed_no_commit(root):
    write(root, pointer="a\n")
    repository = Repository(root)
    assert repository.commit(["pointer"], "first")
    assert repository.commit(["pointer"], "again") is None
    assert git(root, "rev-list", "--count", "HEAD").strip() == "1"


def test_the_first_commit_of_a_fresh_repository_leaves_what_is_staged(root):
    write(root, pointer="a\n", notes="mine\n")
    git(root, "add", "notes")
    Repository(root).commit(["pointer"], "first")
    assert git(root, "ls-tree", "--name-only", "HEAD").split() == ["pointer"]
    assert git(root, "status", "--porcelain") == "A  notes\n"


def test_an_ignored_pointer_and_one_with_odd_characters(root):
    write(root, **{".gitignore": "pointer\n", "pointer": "a\n", "*odd [x].dvc": "b\n"})
    Repository(root).commit(["pointer", "*odd [x].dvc"], "first")
    assert sorted(git(root, "ls-tree", "-z", "--name-only", "HEAD").strip("\0").split("\0")) == [
        "*odd [x].dvc",
        "pointer",
    ]


def test_a_pointer_that_is_gone_is_removed(root):
    write(root, pointer="a\n", other="b\n")
    repository = Repository(root)
    repository.commit(["pointer", "other"], "first")
    (root / "pointer").unlink()
    assert repository.commit(["pointer", "other"], "second")
    assert git(root, "ls-tree", "--name-only", "HEAD").split() == ["other"]


def test_a_detached_head_moves_and_no_branch_does(root):
    write(root, pointer="a\n")
    repository = Repository(root)
    first = repository.commit(["pointer"], "first")
    git(root, "checkout", "--quiet", "--detach")
    write(root, pointer="b\n")
    second = repository.commit(["pointer"], "second")
    assert git(root, "rev-parse", "HEAD").strip() == second
    assert git(root, "rev-parse", "main").strip() == first


def test_a_project_below_the_repository(root):
    (root / "team" / "spam").mkdir(parents=True)
    write(root / "team" / "spam", pointer="a\n")
    Repository(root / "team" / "spam").commit(["pointer"], "first")
    assert git(root, "ls-tree", "-r", "--name-only", "HEAD").split() == ["team/spam/pointer"]


def test_without_identity_one_line_says_what_to_set(home, tmp_path):
    folder = tmp_path / "anonymous"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "user.useConfigOnly", "true")
    write(folder, pointer="a\n")
    with pytest.raises(InputError, match="whose commits these are") as caught:
        Repository(folder).commit(["pointer"], "first")
    assert "git config user.email" in str(caught.value)
    assert Repository(folder).head() is None


def test_commits_from_many_threads_are_neither_lost_nor_doubled(root):
    write(root, base="x\n")
    repository = Repository(root)
    repository.commit(["base"], "start")
    failures = []

    def work(number):
        write(root, **{f"pointer{number}": f"{number}\n"})
        try:
            assert repository.commit([f"pointer{number}"], f"step {number}")
        except (AssertionError, GitError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(git(root, "log", "--format=%s").split("\n")[:-1]) == [
        "start",
        *(f"step {n}" for n in range(8)),
    ]
    assert git(root, "status", "--porcelain") == ""


def test_a_folder_outside_any_repository(home, tmp_path):
    with pytest.raises(GitError, match="git"):
        Repository(tmp_path).commit(["pointer"], "first")
