"""A tracking server on PostgreSQL with artefacts in S3, both real; and what is refused before it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import requests

from tunewright.config.dotenv import read_secrets, write_secrets
from tunewright.registry import server_process
from tunewright.registry.server import down, status, up
from tunewright.registry.server_settings import ServerOptions, scrub
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.paths import ProjectPaths

POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
BUCKET = "team-artifacts"
STORE_PASSWORD = "a-store-password%2Fof-ours"


@pytest.fixture
def paths(tmp_path, monkeypatch) -> ProjectPaths:
    for name in ("MLFLOW_TRACKING_NEW_PASSWORD", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.yaml").write_text("project: team\n")
    return ProjectPaths(tmp_path)


@pytest.fixture
def database():
    """A PostgreSQL database of our own, dropped afterwards."""
    psycopg2 = pytest.importorskip("psycopg2")
    try:
        connection = psycopg2.connect(POSTGRES, connect_timeout=2)
    except psycopg2.OperationalError:
        reason = "no PostgreSQL at 127.0.0.1:5432"
        pytest.fail(reason) if os.environ.get("TUNEWRIGHT_REQUIRE_ALL") == "1" else pytest.skip(reason)
    connection.autocommit = True
    name = f"tunewright_{uuid.uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A bucket on a real S3 server, a process of its own."""
    boto3 = pytest.importorskip("boto3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    for name, value in {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "moto.log").open("w") as log:
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(endpoint, timeout=2)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (tmp_path / "moto.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket=BUCKET)
        yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.slow
def test_records_go_to_postgresql_and_files_to_s3(paths, database, bucket):
    store = f"postgresql://postgres:{STORE_PASSWORD}@127.0.0.1:5432/{database}"
    write_secrets(paths.root / ".env", {"MLFLOW_BACKEND_STORE_URI": store})
    try:
        found = up(paths, ServerOptions(port=0, artifacts=f"s3://{BUCKET}/files"))
        assert found.store == f"postgresql+psycopg2://postgres:***@127.0.0.1:5432/{database}"
        assert found.memory_mb < 650  # 600 with SQLite; boto3 and psycopg2 add to it
        kept = read_secrets(paths.root / ".env")
        assert kept["MLFLOW_ARTIFACTS_DESTINATION"] == f"s3://{BUCKET}/files"
        with requests.Session() as opened:
            opened.auth = (kept["MLFLOW_TRACKING_USERNAME"], kept["MLFLOW_TRACKING_PASSWORD"])
            made = opened.post(found.uri + "/api/2.0/mlflow/experiments/create", json={"name": "kept"})
            sent = opened.put(found.uri + "/api/2.0/mlflow-artifacts/artifacts/a/b.txt", data=b"bytes")
            back = opened.get(found.uri + "/api/2.0/mlflow-artifacts/artifacts/a/b.txt")
        assert (made.status_code, sent.status_code, back.content) == (200, 200, b"bytes")
        assert bucket.get_object(Bucket=BUCKET, Key="files/a/b.txt")["Body"].read() == b"bytes"
        assert names_of_experiments(database) == {"Default", "kept"}
        shown = [" ".join(process.cmdline()) for process in server_process.find(paths.state)]
        shown += [Path(found.log).read_text(), (paths.state / "server.json").read_text()]
        for text in shown:
            for secret in (STORE_PASSWORD, "a-store-password/of-ours", "testing-secret"):
                assert secret not in text
    finally:
        down(paths)
    assert not status(paths).running


def names_of_experiments(database: str) -> set[str]:
    import psycopg2

    connection = psycopg2.connect(POSTGRES, dbname=database)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM experiments")
            return {row[0] for row in cursor.fetchall()}
    finally:
        connection.close()


def refused(paths: ProjectPaths, **options: object) -> str:
    """Start with options that must be refused; nothing may run or be left noted."""
    with pytest.raises(InputError) as caught:
        up(paths, ServerOptions(**{"port": 0, **options}))
    assert not status(paths).running
    assert not (paths.state / "server.json").exists()
    return str(caught.value)


def test_a_password_in_an_option_is_refused_and_not_repeated(paths):
    said = refused(paths, store="postgresql://me:hush-hush@db/name")
    assert "MLFLOW_BACKEND_STORE_URI" in said
    assert "hush" not in said


def test_a_database_that_is_out_of_reach_is_named_without_its_password(paths):
    pytest.importorskip("psycopg2")
    with socket.socket() as probe:  # bound and not listening: connections are refused
        probe.bind(("127.0.0.1", 0))
        uri = f"postgresql://me:hush-hush@127.0.0.1:{probe.getsockname()[1]}/none"
        write_secrets(paths.root / ".env", {"MLFLOW_BACKEND_STORE_URI": uri})
        said = refused(paths)
    assert "can't be opened" in said
    assert "me:***@127.0.0.1" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"store": "mysql://me@db/name"}, "'mysql' is not a store"),
        ({"store": "nonsense"}, "--store: is not a database URI"),
        ({"store": "sqlite://"}, "'sqlite' is not a store"),
        ({"store": "sqlite:////nowhere/at/all.db"}, "folder doesn't exist"),
        ({"artifacts": "ftp://somewhere"}, "'ftp://' is not a place for artefacts"),
        ({"host": "no such host"}, "--host"),
        ({"host": "192.0.2.1"}, "--port"),
    ],
)
def test_wrong_options_are_one_clear_line(paths, options, expected):
    assert expected in refused(paths, **options)


def test_a_port_that_is_taken_is_named(paths):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 can't be used" in refused(paths, port=port)


def test_a_project_of_another_server_keeps_it(paths):
    write_secrets(paths.root / ".env", {"MLFLOW_TRACKING_URI": "https://mlflow.example.org"})
    assert "names another server" in refused(paths)
    assert read_secrets(paths.root / ".env") == {"MLFLOW_TRACKING_URI": "https://mlflow.example.org"}


def test_a_lost_password_is_not_replaced_by_one_that_opens_nothing(paths):
    folder = paths.state / "server"
    folder.mkdir(parents=True)
    (folder / "auth.db").touch()
    assert "holds no MLFLOW_TRACKING_PASSWORD" in refused(paths)


def test_a_password_that_mlflow_would_refuse_is_refused_first(paths):
    write_secrets(paths.root / ".env", {"MLFLOW_TRACKING_PASSWORD": "short"})
    assert "shorter than 12 characters" in refused(paths)


def test_a_damaged_database_is_named_and_left_as_it_is(paths):
    (paths.state / "server").mkdir(parents=True)
    damaged = paths.state / "server" / "mlflow.db"
    damaged.write_text("this is no database, but long enough to look at" * 50)
    assert "file is not a database" in refused(paths)
    assert damaged.read_text().startswith("this is no database")


def test_a_server_that_dies_at_start_is_explained_by_its_log(paths, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no Python can start like this
    with pytest.raises(TunewrightError, match=r"ended as it started: .*(encodings|init_fs_encoding)"):
        up(paths, ServerOptions(port=0))
    assert not status(paths).running
    assert "MLFLOW_TRACKING_URI" not in read_secrets(paths.root / ".env")


def test_a_server_that_stays_silent_is_ended_after_the_time_given(paths):
    with pytest.raises(TunewrightError, match=r"didn't answer within 1 s.*--timeout"):
        up(paths, ServerOptions(port=0, timeout_s=1))
    assert not status(paths).running
    assert not (paths.state / "server.json").exists()


def test_a_log_line_with_a_secret_is_quoted_without_it():
    assert scrub("user:p%2Fw@db and p/w", ["p/w", None, ""]) == "user:***@db and ***"


def test_a_stubborn_process_is_killed_with_its_children(paths, monkeypatch):
    monkeypatch.setattr(server_process, "TERM_SECONDS", 0.5)
    paths.state.mkdir()
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    log = paths.state / "log"
    server_process.spawn(
        [sys.executable, "-c", code], owner=paths.state, environment=dict(os.environ), log=log
    )
    deadline = time.monotonic() + 20
    while "ready" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(server_process.find(paths.state)) == 2
    assert server_process.end(paths.state) == 2
    assert server_process.find(paths.state) == []
    assert server_process.end(paths.state) == 0


def test_down_and_status_of_a_project_without_a_server(paths):
    assert down(paths) == 0
    found = status(paths)
    assert (found.running, found.healthy, found.uri, found.processes) == (False, False, None, 0)
