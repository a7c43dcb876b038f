"""The tracking server as a team meets it: a real one, started, used, attacked, killed and ended."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import requests

from tunewright.config.dotenv import read_secrets, write_secrets
from tunewright.registry import server_process
from tunewright.registry.auth import add_user, rotate
from tunewright.registry.server import down, status, up
from tunewright.registry.server_client import Credentials, ServerClient
from tunewright.registry.server_settings import ServerOptions
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.paths import ProjectPaths

pytestmark = pytest.mark.slow

MAX_MEMORY_MB = 600
CACHED_CPU_MS = 60.0
"""A request costs about 4 ms with the credential cache and about 170 without: whatever else the machine does, this
tells the two apart. The figure itself comes from benchmarks/tracking_server.py."""
REQUESTS = 40
OPEN = re.compile(r"/health|/static-files/.*|/(ajax-)?api/3\.0/mlflow/server-info")
"""Routes that answer without a password: nothing of the team's is behind them."""

LIST_ROUTES = """
import json
from mlflow.server import app as flask_app
from mlflow.server.auth import create_app
app = create_app()
native = [
    (context.path, sorted(context.methods))
    for router in app.routes if hasattr(router, "effective_route_contexts")
    for context in router.effective_route_contexts()
]
flask = [(rule.rule, sorted(rule.methods - {"HEAD", "OPTIONS"})) for rule in flask_app.url_map.iter_rules()]
print(json.dumps(native + flask))
"""


def make_project(root: Path) -> ProjectPaths:
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "config.yaml").write_text("project: team\n")
    return ProjectPaths(root)


def command(paths: ProjectPaths, noun: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from tunewright.cli.{noun} import app; app()", *words],
        cwd=paths.root,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def session(paths: ProjectPaths) -> requests.Session:
    kept = read_secrets(paths.root / ".env")
    opened = requests.Session()
    opened.auth = (kept["MLFLOW_TRACKING_USERNAME"], kept["MLFLOW_TRACKING_PASSWORD"])
    return opened


def secrets_of(paths: ProjectPaths) -> list[str]:
    kept = read_secrets(paths.root / ".env")
    return [kept["MLFLOW_TRACKING_PASSWORD"], kept["MLFLOW_FLASK_SERVER_SECRET_KEY"]]


def password_of(paths: ProjectPaths) -> str:
    return read_secrets(paths.root / ".env")["MLFLOW_TRACKING_PASSWORD"]


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    """A process that lists all routes of the real app, while the server starts."""
    folder = tmp_path_factory.mktemp("routes")
    ini = folder / "auth.ini"
    ini.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder}/auth.db\n"
    )
    environment = {
        **os.environ,
        "MLFLOW_AUTH_CONFIG_PATH": str(ini),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "only for the list",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for the list",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    with (folder / "routes.json").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", LIST_ROUTES],
            env=environment,
            stdout=output,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        yield process, folder / "routes.json"
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(listing, tmp_path_factory):
    paths = make_project(tmp_path_factory.mktemp("team"))
    try:
        started = command(paths, "server", "up", "--port", "0", "--json")
        assert started.returncode == 0, started.stderr
        facts = json.loads(started.stdout)
        yield SimpleNamespace(
            paths=paths, facts=facts, uri=facts["uri"], said=started.stdout + started.stderr
        )
    finally:
        down(paths)


@pytest.fixture(scope="module")
def routes(listing) -> list[tuple[str, list[str]]]:
    process, file = listing
    assert process.wait(timeout=120) == 0
    return json.loads(file.read_text().splitlines()[-1])


def test_it_runs_on_loopback_and_is_small(server):
    assert server.facts["running"]
    assert server.facts["healthy"]
    assert server.uri.startswith("http://127.0.0.1:")
    assert server.facts["processes"] == 2
    assert server.facts["memory_mb"] < MAX_MEMORY_MB


def test_no_secret_is_printed_logged_or_shown_by_ps(server):
    arguments = [" ".join(process.cmdline()) for process in server_process.find(server.paths.state)]
    log = Path(server.facts["log"]).read_text()
    note = (server.paths.state / "server.json").read_text()
    assert len(arguments) == server.facts["processes"]
    for text in (server.said, log, note, *arguments):
        for secret in secrets_of(server.paths):
            assert secret not in text


def test_what_it_keeps_is_private(server):
    assert permissions(server.paths.root / ".env") == 0o600
    folder = server.paths.state / "server"
    assert permissions(folder) == 0o700
    for item in folder.rglob("*"):
        assert permissions(item) & 0o077 == 0, item
    assert password_of(server.paths) not in (folder / "auth.ini").read_text()


def test_a_second_up_finds_the_first(server):
    again = command(server.paths, "server", "up", "--port", "0", "--json")
    assert again.returncode == 0
    assert "already running" in again.stderr
    assert json.loads(again.stdout)["pid"] == server.facts["pid"]


def test_every_route_but_health_and_static_files_asks_for_a_password(server, routes):
    assert len(routes) > 400
    paths = {path for path, _ in routes}
    assert {"/graphql", "/get-artifact", "/v1/traces"} <= paths
    assert any("mlflow-artifacts" in path for path in paths)
    wrong = []
    with requests.Session() as anonymous:
        for path, methods in routes:
            address = re.sub(r"[<{][^>}]*[>}]", "1", path)
            for method in methods:
                answer = anonymous.request(method, server.uri + address, allow_redirects=False)
                if (answer.status_code == 401) == bool(OPEN.fullmatch(path)):
                    wrong.append((method, path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/users/current", "/v1/traces", "/graphql"])
@pytest.mark.parametrize(
    "who", [("admin", "wrong password"), ("admin", ""), ("nobody", "wrong password"), ("", "")]
)
def test_wrong_credentials_are_refused(server, path, who):
    assert requests.get(server.uri + path, auth=who, timeout=20).status_code in {401, 405}
    assert requests.post(server.uri + path, auth=who, timeout=20).status_code in {401, 405}


def test_credentials_are_cached_so_that_a_request_costs_little(server):
    processes = server_process.find(server.paths.state)

    def cpu_seconds() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    with session(server.paths) as opened:
        before = cpu_seconds()
        for _ in range(REQUESTS):
            assert opened.get(server.uri + "/api/2.0/mlflow/experiments/get?experiment_id=0").ok
        milliseconds = 1000 * (cpu_seconds() - before) / REQUESTS
    assert milliseconds < CACHED_CPU_MS
    assert status(server.paths).memory_mb < MAX_MEMORY_MB


def test_a_run_is_recorded_with_what_is_in_dotenv_and_holds_no_secret(server, monkeypatch, tmp_path):
    import mlflow

    from tunewright.config.dotenv import load_dotenv_file

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    load_dotenv_file(server.paths.root)
    client = mlflow.MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    run = client.create_run(client.create_experiment("served"))
    client.log_param(run.info.run_id, "learning_rate", 1e-4)
    (tmp_path / "report.txt").write_text("all is well")
    client.log_artifact(run.info.run_id, str(tmp_path / "report.txt"))
    kept = client.get_run(run.info.run_id)
    back = Path(client.download_artifacts(run.info.run_id, "report.txt", str(tmp_path)))
    assert kept.data.params == {"learning_rate": "0.0001"}
    assert back.read_text() == "all is well"
    recorded = json.dumps(kept.to_dictionary())
    database = (server.paths.state / "server" / "mlflow.db").read_bytes()
    for secret in secrets_of(server.paths):
        assert secret not in recorded
        assert secret.encode() not in database


def test_a_member_may_do_what_was_granted_and_no_more(server):
    experiments = server.uri + "/api/2.0/mlflow/experiments/"
    with session(server.paths) as admin:
        made = admin.post(experiments + "create", json={"name": "shared"}).json()["experiment_id"]
    admin_credentials = Credentials("admin", password_of(server.paths))
    ServerClient(server.uri).create_user(admin_credentials, Credentials("stranger", "a long password"))

    def outcome(who: tuple[str, str]) -> tuple[int, int]:
        read = requests.get(experiments + f"get?experiment_id={made}", auth=who, timeout=20)
        body = {"experiment_id": made, "new_name": "renamed"}
        write = requests.post(experiments + "update", json=body, auth=who, timeout=20)
        return read.status_code, write.status_code

    assert outcome(("stranger", "a long password")) == (403, 403)
    added = add_user(server.paths, "ada", permission="READ")
    assert permissions(Path(added.credentials)) == 0o600
    kept = read_secrets(Path(added.credentials))
    ada = (kept["MLFLOW_TRACKING_USERNAME"], kept["MLFLOW_TRACKING_PASSWORD"])
    assert outcome(ada) == (200, 403)
    assert add_user(server.paths, "ada", permission="EDIT").permission == "EDIT"
    assert outcome(ada) == (200, 200)
    with pytest.raises(InputError, match="user name"):
        add_user(server.paths, "../ada")


def test_a_member_with_edit_can_register_and_promote_but_not_delete(server, monkeypatch):
    import mlflow

    with session(server.paths) as admin:
        body = {"name": "spam"}
        made = admin.post(server.uri + "/api/2.0/mlflow/experiments/create", json=body).json()[
            "experiment_id"
        ]
        assert admin.post(server.uri + "/api/2.0/mlflow/registered-models/create", json=body).ok
    for name, value in read_secrets(Path(add_user(server.paths, "bob").credentials)).items():
        monkeypatch.setenv(name, value)
    client = mlflow.MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
    run = client.create_run(made)
    model = client.create_logged_model(made, name="classifier", source_run_id=run.info.run_id)
    client.finalize_logged_model(model.model_id, "READY")
    source = f"models:/{model.model_id}"
    version = client.create_model_version("spam", source, run.info.run_id, model_id=model.model_id).version
    client.set_registered_model_alias("spam", "champion", version)
    assert client.get_model_version_by_alias("spam", "champion").version == version
    with pytest.raises(mlflow.MlflowException, match="403"):
        client.delete_model_version("spam", version)


def test_a_member_without_rights_cannot_add_members(server, tmp_path):
    added = add_user(server.paths, "eve", permission="READ")
    other = make_project(tmp_path / "eve")
    write_secrets(other.root / ".env", dict(read_secrets(Path(added.credentials))))
    with pytest.raises(TunewrightError, match="refused \\(403"):
        add_user(other, "mallory")
    assert not (other.state / "server" / "users" / "mallory.env").exists()


def test_rotation_makes_a_password_and_refuses_the_old_one_at_once(server):
    old = password_of(server.paths)
    client = ServerClient(server.uri)
    assert client.accepts(Credentials("admin", old))  # now in the server's cache
    done = command(server.paths, "auth", "rotate", "--json")
    new = password_of(server.paths)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["username"] == "admin"
    assert old not in done.stdout + done.stderr
    assert new not in done.stdout + done.stderr
    assert new != old
    assert not client.accepts(Credentials("admin", old))
    assert client.accepts(Credentials("admin", new))
    assert permissions(server.paths.root / ".env") == 0o600


def test_rotation_takes_the_password_that_was_chosen(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_NEW_PASSWORD", "correct horse 'battery' $taple")
    rotate(server.paths)
    assert password_of(server.paths) == "correct horse 'battery' $taple"
    assert "MLFLOW_TRACKING_NEW_PASSWORD" not in read_secrets(server.paths.root / ".env")


@pytest.mark.parametrize("chosen", ["too-short", "pässword with umlaut"])
def test_a_bad_choice_changes_nothing(server, monkeypatch, chosen):
    before = (server.paths.root / ".env").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_NEW_PASSWORD", chosen)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_NEW_PASSWORD"):
        rotate(server.paths)
    assert (server.paths.root / ".env").read_bytes() == before


def test_a_wrong_present_password_is_one_clear_line_and_changes_nothing(server, monkeypatch):
    before = (server.paths.root / ".env").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not the password")
    with pytest.raises(InputError, match="refuses the present password of 'admin'"):
        rotate(server.paths)
    assert (server.paths.root / ".env").read_bytes() == before


def test_a_rotation_killed_after_the_server_changed_is_finished_by_the_next(server):
    dotenv = server.paths.root / ".env"
    write_secrets(dotenv, {"MLFLOW_TRACKING_NEW_PASSWORD": "written before the kill"})
    ServerClient(server.uri).change_password(
        Credentials("admin", password_of(server.paths)), "written before the kill"
    )
    assert rotate(server.paths).finished_earlier
    assert password_of(server.paths) == "written before the kill"
    assert "MLFLOW_TRACKING_NEW_PASSWORD" not in read_secrets(dotenv)


def test_killed_and_half_rotated_it_comes_back_whole(server):
    """The last of the shared server: a kill -9 of the parent, an end, a start, a kill of all, an end."""
    dotenv = server.paths.root / ".env"
    write_secrets(dotenv, {"MLFLOW_TRACKING_NEW_PASSWORD": "rotated, then all died"})
    ServerClient(server.uri).change_password(
        Credentials("admin", password_of(server.paths)), "rotated, then all died"
    )
    parent, child = server_process.find(server.paths.state)
    parent.kill()
    psutil.wait_procs([parent], timeout=10)
    orphaned = status(server.paths)
    assert (orphaned.running, orphaned.pid) == (True, child.pid)

    assert down(server.paths) == 1
    assert down(server.paths) == 0
    assert not child.is_running()
    assert not status(server.paths).running

    back = up(server.paths, ServerOptions(port=0))
    assert back.healthy
    assert password_of(server.paths) == "rotated, then all died"
    with session(server.paths) as opened:
        found = opened.get(back.uri + "/api/2.0/mlflow/experiments/get-by-name?experiment_name=served")
    assert found.ok

    left = server_process.find(server.paths.state)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)
    assert not status(server.paths).running
    assert (server.paths.state / "server.json").exists()  # stale, and known to be
    said = command(server.paths, "server", "down")
    assert said.returncode == 0
    assert "no tracking server runs" in said.stderr
    assert server_process.find(server.paths.state) == []
