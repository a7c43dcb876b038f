"""Data over time: each version committed and tied to its run, compared, brought back, sent elsewhere."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from sessions import call, done
from versioned import CHANGED, copied, git, know_ada, relabel, source_of

POINTERS = {
    "dvc.yaml",
    "dvc.lock",
    "params.json",
    "data/source.json",
    "data/.gitignore",
    "data/interim/.gitignore",
}
DATA_STEPS = ["ingest", "clean", "validate", "split"]


@pytest.fixture(autouse=True)
def ada(monkeypatch, tmp_path_factory):
    """Git knows Ada, and nothing of this machine's own configuration."""
    return know_ada(monkeypatch, tmp_path_factory.mktemp("home"))


def anonymous(home):
    """Let git know nobody, and not guess."""
    (home / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")


@pytest.fixture
def shop(tmp_path, template, ada):
    """A project in git; nothing has run in it."""
    return copied(template, tmp_path / "shop")


def prepare(folder, *words):
    """Run the steps that make data."""
    return done(folder, "run", "--until", "split", *words)


def versions(folder, *words):
    return done(folder, "data", "log", "--json", *words).facts


def tags_of(folder, run_id):
    with sqlite3.connect(folder / ".tunewright" / "mlflow.db") as store:
        return dict(store.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)).fetchall())


def test_each_data_step_has_a_commit_of_pointers_tied_to_its_run(shop):
    before = git(shop, "rev-parse", "HEAD")
    prepare(shop)
    found = versions(shop, "--all")
    assert [each["step"] for each in found] == DATA_STEPS[::-1]
    history = json.loads((shop / "commit_history.json").read_text())
    assert [entry["step"] for _, entry in sorted(history.items())] == DATA_STEPS
    for each in found:
        touched = git(shop, "show", "--name-only", "--format=", each["commit"]).splitlines()
        assert set(touched) <= POINTERS, touched
        record = json.loads((shop / ".tunewright" / "executions" / f"{each['step']}.json").read_text())
        assert record["run_id"] == each["run_id"]
        assert record["names"]["step"] == each["step"]
        tags = tags_of(shop, each["run_id"])
        assert tags["tunewright.data_commit"] == each["commit"]
        assert tags["mlflow.parentRunId"] == record["parent_run_id"]
        wanted = {
            "commit": each["commit"],
            "step": each["step"],
            "run_id": each["run_id"],
            "digest": each["digest"],
        }
        assert wanted in history.values()
    assert git(shop, "rev-list", "--count", f"{before}..HEAD") == "4"
    assert git(shop, "check-ignore", "commit_history.json") == "commit_history.json"


def test_nothing_changed_no_commit(shop):
    prepare(shop)
    head = git(shop, "rev-parse", "HEAD")
    prepare(shop)
    assert git(shop, "rev-parse", "HEAD") == head
    prepare(shop, "--force")
    assert git(shop, "rev-parse", "HEAD") == head, (
        "the same data came out, so there is nothing new to point to"
    )
    assert len(json.loads((shop / "commit_history.json").read_text())) == 4


def test_what_the_user_staged_changed_and_left_untracked_stays_theirs(shop):
    for name in ("staged.py", "changed.py"):
        (shop / name).write_text("before\n")
    git(shop, "add", "staged.py", "changed.py")
    git(shop, "commit", "--quiet", "-m", "mine")
    (shop / "staged.py").write_text("staged\n")
    git(shop, "add", "staged.py")
    (shop / "changed.py").write_text("changed\n")
    (shop / "new.py").write_text("untracked\n")
    mine = git(shop, "rev-parse", "HEAD")
    prepare(shop)
    assert git(shop, "diff", "--cached", "--name-only") == "staged.py"
    assert git(shop, "diff", "--name-only") == "changed.py"
    assert "?? new.py" in git(shop, "status", "--porcelain").splitlines()
    touched = set(git(shop, "log", "--name-only", "--format=", f"{mine}..HEAD").split())
    assert touched <= POINTERS


def test_relabelled_rows_are_counted_and_shown(shop):
    prepare(shop)
    relabel(source_of(shop))
    prepare(shop)
    newer, older = versions(shop)
    assert newer["is_current"]
    assert not older["is_current"]
    assert newer["run_id"] != older["run_id"]
    assert newer["digest"] != older["digest"]
    facts = done(shop, "data", "diff", older["commit"], newer["commit"], "--json").facts
    assert (facts["added"], facts["removed"], facts["relabelled"]) == (0, 0, CHANGED)
    assert facts["rows"] == {"before": 240, "after": 240}
    words = done(shop, "data", "diff", older["digest"][:10], "--limit", "2").out
    assert "50 relabelled" in words
    assert "48 more relabelled" in words
    shown = done(shop, "data", "show", older["run_id"], "--json").facts
    assert shown["digest"] == older["digest"]


@pytest.mark.slow
def test_a_restored_version_gives_the_model_that_was_made_from_it(ran, tmp_path):
    folder = tmp_path / "shop"
    shutil.copytree(ran.folder, folder, symlinks=True)
    source = tmp_path / "messages.csv"
    shutil.copy(ran.folder.parent / "messages.csv", source)
    config = folder / "configs" / "config.yaml"
    config.write_text(config.read_text().replace(str(ran.folder.parent / "messages.csv"), str(source)))
    first = done(folder, "run", "--json").facts
    certificate = done(folder, "models", "show", f"shop/{first['version']}", "--json").facts["certificate"]
    relabel(source)
    second = done(folder, "run", "--json").facts
    assert second["version"] != first["version"]
    text = source.read_text()
    restored = done(folder, "data", "restore", f"shop/{first['version']}", "--json").facts
    assert (
        restored["digest"]
        == done(folder, "models", "show", f"shop/{first['version']}", "--json").facts["data_digest"]
    )
    third = done(folder, "run", "--json")
    assert third.facts["version"] == first["version"]
    states = third.facts["steps"]
    assert {states[name] for name in (*DATA_STEPS, "check", "baseline", "train", "evaluate")} == {"skipped"}
    assert third.facts["metrics"] == first["metrics"]
    again = done(folder, "models", "show", f"shop/{third.facts['version']}", "--json").facts
    assert again["certificate"] == certificate
    assert source.read_text() == text, "the source is the user's"
    done(folder, "data", "release")
    assert done(folder, "run", "--json").facts["version"] == second["version"]


def test_held_data_needs_no_source_and_refuses_other_settings(shop):
    prepare(shop)
    done(shop, "data", "restore", "latest")
    source_of(shop).unlink()
    assert "skipped" in prepare(shop).err
    refused = call(shop, "run", "--until", "split", "data.test_share=0.5")
    assert refused.code == 2
    assert "data.test_share" in refused.complaint
    assert "tunewright data release" in refused.complaint
    done(shop, "data", "release")
    assert call(shop, "run", "--until", "split").code == 2


def test_edited_data_is_not_replaced_without_force(shop):
    prepare(shop)
    relabel(source_of(shop))
    prepare(shop)
    shard = next((shop / "data" / "processed" / "train").glob("*.parquet"))
    shard.chmod(0o644)
    extra = shard.with_name("mine.parquet")
    extra.write_bytes(shard.read_bytes() + b"edited")
    older = versions(shop)[1]["commit"]
    lock = (shop / "dvc.lock").read_text()
    refused = call(shop, "data", "restore", older)
    assert refused.code == 2
    assert "mine.parquet" in refused.complaint
    assert extra.exists()
    assert (shop / "dvc.lock").read_text() == lock
    done(shop, "data", "restore", older, "--force")
    assert not extra.exists()


def test_names_nothing(shop):
    prepare(shop)
    for words in ("nonsense", "0" * 32, "shop/9", "shop@champion", "HEAD~99"):
        said = call(shop, "data", "restore", words)
        assert said.code == 2, said.err
        assert "tunewright data log" in said.complaint


def test_without_an_identity_the_run_ends_well_and_the_next_one_commits(shop, ada):
    anonymous(ada)
    head = git(shop, "rev-parse", "HEAD")
    said = prepare(shop)
    assert said.err.count("git config user.name") == 1
    assert git(shop, "rev-parse", "HEAD") == head
    record = json.loads((shop / ".tunewright" / "executions" / "split.json").read_text())
    git(shop, "config", "user.name", "Ada")
    git(shop, "config", "user.email", "ada@example.org")
    prepare(shop)
    (version,) = versions(shop)
    assert version["run_id"] == record["run_id"]


def test_what_a_killed_dvc_left_half_written_is_mended(shop):
    lock = shop / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text('{"read": {"/x": [{"pid": 1')
    prepare(shop)
    assert len(versions(shop)) == 1


KILLED_ONCE_CREATED = """
import os, signal
from mlflow.tracking import MlflowClient

create = MlflowClient.create_run

def create_and_die(self, *args, tags=None, **named):
    run = create(self, *args, tags=tags, **named)
    if (tags or {}).get("tunewright.kind") == "execution":
        os.kill(os.getpid(), signal.SIGKILL)
    return run

MlflowClient.create_run = create_and_die
from tunewright.cli.app import main
main(["run", "--until", "clean"])
"""


def test_a_run_that_was_created_in_the_moment_of_a_kill_is_gone_on_with(shop):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_ONCE_CREATED], cwd=shop, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    done(shop, "run", "--until", "clean")
    with sqlite3.connect(shop / ".tunewright" / "mlflow.db") as store:
        found = store.execute(
            "SELECT value, status, count(*) FROM runs JOIN tags USING (run_uuid) "
            "WHERE key = 'tunewright.step' AND run_uuid IN "
            "(SELECT run_uuid FROM tags WHERE key = 'tunewright.kind' AND value = 'execution') GROUP BY 1, 2"
        ).fetchall()
    assert sorted(found) == [("clean", "FINISHED", 1), ("ingest", "FINISHED", 1)]


def test_a_detached_head_moves_on(shop):
    git(shop, "checkout", "--quiet", "--detach")
    prepare(shop)
    assert len(versions(shop)) == 1
    assert git(shop, "rev-list", "--count", "main..HEAD") == "4"


def test_commits_can_be_left_to_the_user(shop):
    head = git(shop, "rev-parse", "HEAD")
    prepare(shop, "data.versioning.commit=false")
    assert git(shop, "rev-parse", "HEAD") == head


def test_a_rejected_push_is_said_and_never_forced(shop):
    bare, other = shop.parent / "origin.git", shop.parent / "other"
    git(shop.parent, "init", "--quiet", "--bare", str(bare))
    git(shop, "remote", "add", "origin", str(bare))
    git(shop, "push", "--quiet", "--set-upstream", "origin", "main")
    git(shop.parent, "clone", "--quiet", "--branch", "main", str(bare), str(other))
    git(other, "commit", "--quiet", "--allow-empty", "-m", "theirs")
    git(other, "push", "--quiet")
    theirs = git(bare, "rev-parse", "main")
    said = prepare(shop, "data.versioning.git_push=true")
    assert said.err.count("the push was refused") == 1
    assert "nothing was forced" in said.err
    assert git(bare, "rev-parse", "main") == theirs
    git(shop, "stash", "--include-untracked", "--quiet")
    git(shop, "pull", "--quiet", "--rebase")
    git(shop, "stash", "pop", "--quiet")
    relabel(source_of(shop))
    prepare(shop, "data.versioning.git_push=true")
    assert git(bare, "rev-parse", "main") == git(shop, "rev-parse", "HEAD")


def test_a_folder_as_remote_fills_a_fresh_clone(shop):
    store = shop.parent / "store"
    done(shop, "data", "remote", "add", "store", str(store))
    prepare(shop)
    assert "not pushed" not in prepare(shop).err
    clone = shop.parent / "clone"
    git(shop.parent, "clone", "--quiet", str(shop), str(clone))
    fetched = done(clone, "data", "pull", "--json").facts
    assert fetched["digest"] == versions(shop)[0]["digest"]
    assert done(clone, "data", "push", "--json").facts == {"sent": 0}
    (clone / "data" / "raw").mkdir(parents=True)
    shutil.copy(source_of(shop), source_of(clone))
    states = done(clone, "run", "--until", "split", "--json").facts["steps"]
    assert states == dict.fromkeys(DATA_STEPS, "skipped")


def test_a_remote_that_is_down_is_said_once_and_mended_later(shop):
    blocked = shop.parent / "store"
    blocked.write_text("a file where the folder should be")
    done(shop, "data", "remote", "add", "store", str(blocked))
    said = prepare(shop)
    assert said.err.count("not pushed to store") == 1
    assert len(versions(shop)) == 1
    assert call(shop, "data", "push").code == 1
    blocked.unlink()
    assert done(shop, "data", "push", "--json").facts["sent"] > 0
    assert done(shop, "data", "push", "--json").facts == {"sent": 0}


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("s3://key:secret@bucket/x",), "credentials"),
        (("s3://bucket/x", "-o", "secret_access_key=abc"), "secret_access_key"),
        (("s3://bucket/x", "-o", "endpointurl"), "KEY=VALUE"),
        (("s3://bucket/x", "-o", "endpoint=https://x"), "refuses"),
    ],
)
def test_a_remote_that_would_commit_a_secret_or_is_wrong_is_refused(shop, words, place):
    config = (shop / ".dvc" / "config").read_text()
    said = call(shop, "data", "remote", "add", "store", *words)
    assert said.code == 2
    assert place in said.complaint
    assert "abc" not in said.complaint
    assert (shop / ".dvc" / "config").read_text() == config


@pytest.fixture
def s3(monkeypatch):
    """A real S3 server on loopback that checks signatures."""
    server_module = pytest.importorskip("moto.server")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="team")
    yield endpoint, server
    server.stop()


def test_s3_as_remote_fills_a_fresh_clone_and_may_be_down(shop, s3):
    pytest.importorskip("dvc_s3")
    endpoint, server = s3
    done(shop, "data", "remote", "add", "store", "s3://team/shop", "-o", f"endpointurl={endpoint}")
    prepare(shop)
    clone = shop.parent / "clone"
    git(shop.parent, "clone", "--quiet", str(shop), str(clone))
    assert done(clone, "data", "pull", "--json").facts["digest"] == versions(shop)[0]["digest"]
    shown = done(clone, "data", "show", "--json").facts
    assert shown == done(shop, "data", "show", "--json").facts
    server.stop()
    relabel(source_of(shop))
    said = prepare(shop)
    assert said.err.count("not pushed to store") == 1
    assert call(shop, "data", "push").code == 1


def test_history_survives_many_writers(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from tunewright.pipeline.history import Commit, append, entries_of
    from tunewright.support.paths import ProjectPaths

    paths = ProjectPaths(tmp_path)
    entries = [Commit(f"{n:040x}", "", "split", "run", "digest") for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: append(paths, entry), entries * 2))
    assert sorted(entry["commit"] for entry in entries_of(paths).values()) == sorted(
        e.commit for e in entries
    )
    assert [path.name for path in (tmp_path / ".tunewright").iterdir()] == ["history.lock"]


def test_a_remote_that_came_later_gets_the_older_versions_and_gives_them_back(shop):
    prepare(shop)
    relabel(source_of(shop))
    prepare(shop)
    newer, older = versions(shop)
    done(shop, "data", "remote", "add", "store", str(shop.parent / "store"))
    done(shop, "data", "push", "--all")
    clone = shop.parent / "clone"
    git(shop.parent, "clone", "--quiet", str(shop), str(clone))
    facts = done(clone, "data", "diff", older["commit"], newer["commit"], "--json").facts
    assert facts["relabelled"] == CHANGED
    assert done(clone, "data", "show", older["commit"], "--json").facts["digest"] == older["digest"]
