"""Champions move atomically, are remembered, and can't be lost; what nothing needs is freed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright.registry.ledger import Ledger
from tunewright.registry.models import load, register
from tunewright.registry.purge import purge
from tunewright.registry.references import find_version, resolve
from tunewright.registry.versions import delete, history, list_versions, promote, rollback, show
from tunewright.support.errors import InputError, TunewrightError


@pytest.fixture
def registered(tracking, log):
    """Register several versions of one logged model (cheap), as ``spam/1``, ``spam/2`` …"""

    def made(count: int):
        logged, _ = log(tracking, 0)
        return [
            register(tracking, logged, facts={"metrics": {"accuracy": 0.9 + at / 100}}) for at in range(count)
        ]

    return made


def champion(tracking):
    return int(tracking.client.get_registered_model("spam").aliases["champion"])


def test_rollback_returns_to_the_champion_before(tracking, registered):
    registered(3)
    for reference in ("spam/1", "spam/2", "spam/3"):
        promote(tracking, reference, verdict="v" * 64, reason="better")
    assert rollback(tracking).version == 2
    assert champion(tracking) == 2
    assert rollback(tracking).version == 1
    with pytest.raises(TunewrightError, match="no earlier champion"):
        rollback(tracking)
    promote(tracking, "3")
    assert rollback(tracking).version == 1
    actions = [
        (item.action, item.from_version, item.to_version)
        for item in history(tracking)
        if item.phase == "done"
    ]
    assert actions[3:] == [
        ("promote", None, 1),
        ("promote", 1, 2),
        ("promote", 2, 3),
        ("rollback", 3, 2),
        ("rollback", 2, 1),
        ("promote", 1, 3),
        ("rollback", 3, 1),
    ]


def test_promoting_the_champion_again_changes_nothing(tracking, registered):
    registered(1)
    promote(tracking, "spam/1")
    before = tracking.ledger.read_bytes()
    assert promote(tracking, "spam@champion").aliases == ("champion",)
    assert tracking.ledger.read_bytes() == before


@pytest.mark.parametrize("moved", [True, False])
def test_a_kill_between_alias_and_ledger_is_settled(tracking, registered, moved):
    registered(2)
    promote(tracking, "spam/1")
    Ledger(tracking.ledger).add(
        "promote", model="spam", phase="intent", version=2, from_version=1, to_version=2, reason="killed"
    )
    if moved:
        tracking.client.set_registered_model_alias("spam", "champion", "2")
    assert history(tracking)[-1].phase == ("done" if moved else "abandoned")
    assert Ledger(tracking.ledger).pending("spam") == []
    if moved:
        assert rollback(tracking).version == 1
    else:
        with pytest.raises(TunewrightError, match="no earlier champion"):
            rollback(tracking)


def test_the_champion_and_the_way_back_are_guarded(tracking, registered):
    registered(3)
    promote(tracking, "spam/1")
    promote(tracking, "spam/2")
    for force in (False, True):
        with pytest.raises(InputError, match="is the champion"):
            delete(tracking, "spam/2", force=force)
    with pytest.raises(InputError, match="rollback would go back to"):
        delete(tracking, "spam/1")
    assert delete(tracking, "spam/1", force=True).version == 1
    assert delete(tracking, "spam/3").version == 3
    assert [item["version"] for item in list_versions(tracking)] == [2]
    assert champion(tracking) == 2
    with pytest.raises(InputError, match=r"spam: has no version 3; versions: 2"):
        delete(tracking, "spam/3")


def test_purge_frees_deleted_weights_and_leaves_what_is_needed(tracking, log, make_classifier):
    base, _ = log(tracking, 0, role="base")
    adapter, classifier = log(tracking, 0, base=base, adapter=True)
    old, _ = log(tracking, 1)
    unregistered, _ = log(tracking, 2)
    for logged in (base, adapter, old):
        register(tracking, logged)
    promote(tracking, "spam/2")
    with pytest.raises(InputError, match="is the base of the adapters spam/2"):
        delete(tracking, "spam/1", force=True)
    delete(tracking, "spam/3")

    def on_disk() -> int:
        return sum(item.stat().st_size for item in tracking.state.rglob("artifacts/**/*") if item.is_file())

    before = on_disk()
    forecast = purge(tracking, dry_run=True)
    assert on_disk() == before
    purged = purge(tracking)
    assert purged == forecast
    assert purged.models == (old.uri,)
    assert purged.freed_bytes == before - on_disk() > old.size_bytes / 2
    assert purge(tracking, grace_s=0, keep=[unregistered.uri]).models == ()
    assert purge(tracking, grace_s=0).models == (unregistered.uri,)
    assert load(tracking, "spam@champion").digest() == classifier.digest()


def test_purge_frees_what_was_deleted_in_mlflow_itself(tracking, log):
    logged, _ = log(tracking, 0)
    folder = Path(tracking.client.get_logged_model(logged.model_id).artifact_location.removeprefix("file://"))
    tracking.client.delete_logged_model(logged.model_id)
    assert folder.exists()
    assert purge(tracking).freed_bytes >= logged.size_bytes
    assert not folder.exists()


def test_references_name_what_is_nearest(tracking, registered):
    registered(2)
    assert find_version(tracking, "spam").version == 2
    promote(tracking, "models:/spam/1")
    uri = find_version(tracking, "spam/1").uri
    for reference in ("", "spam", "spam@champion", "models:/spam@champion", "@champion", "1", "spam/1", uri):
        assert resolve(tracking, reference).uri == uri
    for reference, message in {
        "spma": "spma: no such registered model; did you mean 'spam'?",
        "spam@champoin": "spam: has no alias 'champoin'; did you mean 'champion'?",
        "spam/7": "spam: has no version 7; versions: 1, 2",
        "spam/x": "spam/x: is no model reference; write NAME, NAME@alias or NAME/3",
        "models:/m-" + "0" * 32: "no such logged model",
    }.items():
        with pytest.raises(InputError) as caught:
            resolve(tracking, reference)
        assert message in str(caught.value)


def test_show_gives_the_facts_that_programs_read(tracking, registered):
    registered(1)
    promote(tracking, "spam/1")
    facts = json.loads(json.dumps(show(tracking, "spam@champion")))
    assert facts["version"] == 1
    assert facts["aliases"] == ["champion"]
    assert facts["metrics"] == {"accuracy": 0.9}
    assert {"run_id", "commit", "dirty", "data_digest", "certificate"} <= facts.keys()
    assert len(facts["certificate"]) == 64


@pytest.mark.slow
def test_processes_that_promote_at_once_leave_one_champion_and_a_whole_ledger(tracking, registered):
    registered(4)
    code = (
        "import sys; from pathlib import Path; from tunewright.config.schema import Recipe; "
        "from tunewright.support.paths import ProjectPaths; from tunewright.registry.tracking import connect; "
        "from tunewright.registry.versions import promote; "
        "t = connect(Recipe(project='spam'), ProjectPaths(Path(sys.argv[1]))); promote(t, sys.argv[2])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tracking.root), f"spam/{number}"], env=os.environ)
        for number in (1, 2, 3, 4)
    ]
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    done = [item for item in history(tracking) if item.action == "promote" and item.phase == "done"]
    assert len(done) == 4
    assert [item.from_version for item in done] == [None, *(item.to_version for item in done[:-1])]
    assert champion(tracking) == done[-1].to_version
