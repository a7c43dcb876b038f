"""The connection: what is wrong with a server is said in one line, quickly and without secrets."""

from __future__ import annotations

import http.server
import json
import threading
import time

import pytest

from tunewright.registry.executions import execution
from tunewright.support.errors import InputError, TunewrightError


@pytest.fixture
def server():
    """An HTTP server that gives one answer to everything."""
    running = []

    def started(status: int, body: str, kind: str) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments):
                pass

        instance = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=instance.serve_forever, daemon=True).start()
        running.append(instance)
        return f"127.0.0.1:{instance.server_port}"

    yield started
    for instance in running:
        instance.shutdown()
        instance.server_close()


@pytest.mark.parametrize(
    ("status", "kind", "user", "message"),
    [
        (401, "text/html", None, "wants credentials"),
        (401, "text/html", "me", "refuses the credentials"),
        (403, "text/html", "me", "denies this user access"),
        (200, "text/html", None, "is not an MLflow server"),
        (404, "text/html", None, "is not an MLflow server"),
        (503, "text/html", None, "answers with status 503"),
    ],
)
def test_each_fault_of_a_server_has_its_line(open_project, server, monkeypatch, status, kind, user, message):
    if user:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2hunter2")
    address = server(status, "no", kind)
    with pytest.raises(TunewrightError) as caught:
        open_project(tracking_uri=f"http://me:hunter2hunter2@{address}")
    line = str(caught.value)
    assert message in line
    assert address in line
    assert "hunter2" not in line
    assert "\n" not in line


def test_a_server_out_of_reach_is_said_at_once(open_project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(
        TunewrightError, match=r"http://127\.0\.0\.1:9: the tracking server can't be reached"
    ) as caught:
        open_project()
    assert time.monotonic() - started < 20
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["file:///somewhere", "mlruns", "ftp://host"])
def test_a_store_that_mlflow_refuses_is_named(open_project, address):
    with pytest.raises(InputError, match="is neither a server nor a database"):
        open_project(tracking_uri=address)


def test_a_deleted_experiment_is_explained(open_project):
    tracking = open_project("p").tracking
    tracking.client.delete_experiment(tracking.experiment_id)
    with pytest.raises(InputError, match=r"spam: the experiment was deleted; .* registry\.experiment=spam-2"):
        open_project("p")
    assert open_project("p", experiment="spam-2").tracking.experiment_name == "spam-2"


def test_the_local_store_lies_in_the_project_even_with_a_space_in_its_name(open_project):
    project = open_project("my project")
    with execution(project.tracking, "train") as run:
        run.json("facts/figures.json", {"a": 1})
    kept = list((project.paths.state / "artifacts").rglob("figures.json"))
    assert [json.loads(path.read_text()) for path in kept] == [{"a": 1}]
    assert project.tracking.is_local
    assert open_project("my project").tracking.experiment_id == project.tracking.experiment_id


def test_a_damaged_database_is_one_line(open_project, tmp_path):
    state = tmp_path / "p" / ".tunewright"
    state.mkdir(parents=True)
    (state / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(TunewrightError) as caught:
        open_project("p")
    assert "\n" not in str(caught.value)
    assert "mlflow.db" in str(caught.value)
