"""API keys: shown once, kept hashed, seen by a running server, and never an open door."""

from __future__ import annotations

import json
import stat
import threading
from datetime import datetime, timedelta, timezone

import pytest

from tunewright.serving.keys import LONGEST_SECRET, KeyStore
from tunewright.support.errors import InputError, TunewrightError

NOON = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return KeyStore(tmp_path / "serving" / "keys.json", now=clock)


def test_a_secret_opens_and_is_kept_nowhere(store):
    key, secret = store.make("ci", scopes=["infer"])
    assert store.check(secret) == key
    text = store.path.read_text()
    assert secret not in text
    assert secret[3:] not in text
    assert len(secret) == len("tw-") + 43
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert key.sha256 not in repr(key)


def test_what_is_no_secret_opens_nothing(store):
    _, secret = store.make("ci")
    key = store.known()[0]
    for wrong in (
        "",
        "tw-",
        secret[:-1],
        secret + "A",
        secret.upper(),
        key.sha256,
        "\ud800",
        "x" * 10_000_000,
    ):
        assert store.check(wrong) is None
    assert len(secret) < LONGEST_SECRET


def test_without_a_file_nobody_is_known(store):
    assert store.known() == ()
    assert store.check("tw-anything") is None


def test_a_running_server_sees_new_and_revoked_keys(store):
    running = KeyStore(store.path)
    assert running.known() == ()
    _, secret = store.make("ci")
    assert running.check(secret).name == "ci"
    store.revoke("ci")
    assert running.check(secret) is None


def test_an_expired_key_opens_nothing_and_its_name_is_free_again(store, clock):
    _, old = store.make("ci", days=2)
    assert store.check(old)
    clock.now += timedelta(days=2)
    assert store.check(old) is None
    _, new = store.make("ci")
    assert store.check(new)
    assert store.check(old) is None
    assert len(store.known()) == 1


def test_scopes_say_what_a_key_opens(store):
    key, _ = store.make("scraper", scopes=["metrics"])
    chief, _ = store.make("chief", scopes=["admin"])
    assert key.may("metrics")
    assert not key.may("infer")
    assert all(chief.may(scope) for scope in ("infer", "feedback", "metrics", "admin"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"keys": null}',
        b'{"version": 2, "keys": []}',
        b'{"keys": [{"name": "x"}]}',
        b"\xff\xfe",
        None,
    ],
)
def test_a_damaged_file_is_one_error_and_no_open_door(store, content):
    _, secret = store.make("ci")
    running = KeyStore(store.path)
    assert running.check(secret)
    store.path.write_bytes(store.path.read_bytes()[:-30] if content is None else content)
    for _ in range(2):  # not only at the first look
        with pytest.raises(TunewrightError, match=r"keys\.json: is damaged") as caught:
            running.check(secret)
    assert "\n" not in str(caught.value)


def test_a_file_with_two_keys_of_one_name_is_damaged(store):
    store.make("ci")
    whole = json.loads(store.path.read_text())
    store.path.write_text(json.dumps({**whole, "keys": whole["keys"] * 2}))
    with pytest.raises(TunewrightError, match="two keys of one name"):
        KeyStore(store.path).known()


def test_a_file_that_others_may_write_is_refused(store):
    store.make("ci")
    store.path.chmod(0o622)
    with pytest.raises(TunewrightError, match="chmod 600"):
        KeyStore(store.path).known()


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("ci", {}, "there is a key of that name"),
        ("a b", {}, "name"),
        ("x", {"scopes": ["infr"]}, "did you mean 'infer'"),
        ("x", {"scopes": []}, "scopes"),
        ("x", {"requests_per_minute": 0}, "requests_per_minute"),
        ("x", {"days": 1e12}, "calendar"),
    ],
)
def test_wrong_uses_say_what_is_wrong_and_change_nothing(store, name, given, says):
    store.make("ci")
    before = store.path.read_bytes()
    with pytest.raises(InputError, match=says):
        store.make(name, **given)
    assert store.path.read_bytes() == before


def test_revoking_what_is_not_there_names_the_nearest(store):
    store.make("batch-worker")
    with pytest.raises(InputError, match="did you mean 'batch-worker'"):
        store.revoke("batch-wroker")
    store.revoke("batch-worker")
    with pytest.raises(InputError, match="was revoked on 2026-11-03"):
        store.revoke("batch-worker")


def test_keys_made_at_the_same_time_are_all_kept(store):
    threads = [threading.Thread(target=KeyStore(store.path).make, args=(f"k{at}",)) for at in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(store.known()) == 8


@pytest.fixture
def project(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.yaml").write_text("project: spam\n")
    return tmp_path


def test_the_command_line_makes_lists_and_revokes(cli, project):
    made = cli(
        "keys", "make", "ci", "--scope", "infer", "--requests-per-minute", "60", "--json", cwd=project
    ).facts
    assert made["secret"].startswith("tw-")
    assert "sha256" not in made
    listed = cli("keys", "list", "--json", cwd=project).facts
    assert [(key["name"], key["state"], key["requests_per_minute"]) for key in listed] == [
        ("ci", "active", 60)
    ]
    assert "secret" not in listed[0]
    shown = cli("keys", "list", cwd=project)
    assert "ci" in shown.out
    assert made["secret"] not in shown.out + shown.err
    assert cli("keys", "revoke", "ci", "--json", cwd=project).facts["state"] == "revoked"
    again = cli("keys", "make", "ci", cwd=project)
    assert again.out.strip().startswith("tw-")
    assert "once" in again.err


def test_the_command_line_says_what_is_wrong(cli, project, tmp_path_factory):
    assert cli("keys", "revoke", "nobody", cwd=project).complaint == (
        "error: nobody: there is no such key; `tunewright keys list` shows them"
    )
    assert cli("keys", "list", cwd=tmp_path_factory.mktemp("elsewhere")).code == 2
