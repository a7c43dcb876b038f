"""The project's .env: what is read, what wins, and how secrets are written."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.config.dotenv import CLIENT_NAMES, load_dotenv_file, read_secrets, write_secrets
from tunewright.support.errors import InputError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in CLIENT_NAMES:
        monkeypatch.setenv(name, "")  # so that monkeypatch puts back what was there
        monkeypatch.delenv(name)


def env(folder, text, mode=0o600):
    path = folder / ".env"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_only_the_known_names_are_taken(tmp_path):
    env(tmp_path, "MLFLOW_TRACKING_URI=http://a:1\nexport MLFLOW_TRACKING_USERNAME='me'\nPATH=/nowhere\n")
    before = os.environ["PATH"]
    assert load_dotenv_file(tmp_path) == ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME")
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["PATH"] == before


def test_secrets_of_the_server_do_not_enter_the_process(tmp_path):
    path = env(tmp_path, "MLFLOW_FLASK_SERVER_SECRET_KEY=abc\n")
    assert load_dotenv_file(tmp_path) == ()
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY" not in os.environ
    assert read_secrets(path) == {"MLFLOW_FLASK_SERVER_SECRET_KEY": "abc"}


def test_the_process_environment_wins(tmp_path, monkeypatch):
    env(tmp_path, "MLFLOW_TRACKING_PASSWORD=from-the-file\n")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "from-the-process")
    assert load_dotenv_file(tmp_path) == ()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "from-the-process"


def test_the_password_of_one_project_never_reaches_the_next(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    env(first, "MLFLOW_TRACKING_URI=http://a:1\nMLFLOW_TRACKING_PASSWORD=of-the-first\n")
    env(second, "MLFLOW_TRACKING_URI=http://b:1\n")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "of-the-process")
    load_dotenv_file(first)
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "of-the-first"
    assert load_dotenv_file(second) == ("MLFLOW_TRACKING_URI",)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://b:1"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "of-the-process"


def test_no_file_sets_nothing(tmp_path):
    assert load_dotenv_file(tmp_path) == ()


def test_a_password_may_hold_dollar_hash_and_quotes(tmp_path):
    value = "a$HOME ${USER} #1 'single' \"double\" \\n end"
    write_secrets(tmp_path / ".env", {"MLFLOW_TRACKING_PASSWORD": value})
    assert read_secrets(tmp_path / ".env") == {"MLFLOW_TRACKING_PASSWORD": value}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"MLFLOW_TRACKING_URI=http://a\nthis is = not ' a line\n", ".env:2"),
        (b"MLFLOW_TRACKING_PASSWORD='never closed\n", ".env:1"),
        (b"MLFLOW_TRACKING_URI=\xff\xfe\n", "UTF-8"),
    ],
)
def test_a_malformed_file_is_named_with_its_line_and_without_its_secrets(tmp_path, content, place):
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_dotenv_file(tmp_path)
    assert place in str(caught.value)
    assert "never closed" not in str(caught.value)


def test_a_folder_in_place_of_the_file_is_one_clear_line(tmp_path):
    (tmp_path / ".env").mkdir()
    with pytest.raises(InputError, match="can't be read"):
        load_dotenv_file(tmp_path)


def test_a_file_that_others_can_read_is_reported(tmp_path, capsys):
    path = env(tmp_path, "MLFLOW_TRACKING_PASSWORD=hush-hush-hush\n", mode=0o644)
    load_dotenv_file(tmp_path)
    said = capsys.readouterr().err
    assert "chmod 600" in said
    assert "hush" not in said
    path.chmod(0o600)
    load_dotenv_file(tmp_path)
    assert capsys.readouterr().err == ""


def test_other_lines_and_comments_survive_and_the_mode_becomes_private(tmp_path):
    path = env(tmp_path, "# mine\nAWS_PROFILE=dev  # keep\n\nMLFLOW_TRACKING_URI=old\nLAST=1", mode=0o644)
    write_secrets(path, {"MLFLOW_TRACKING_URI": "http://new", "MLFLOW_TRACKING_PASSWORD": "p", "LAST": None})
    text = "# mine\nAWS_PROFILE=dev  # keep\n\nMLFLOW_TRACKING_URI=http://new\nMLFLOW_TRACKING_PASSWORD=p\n"
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == [".env"]


def test_a_link_to_a_shared_file_stays_a_link(tmp_path):
    target = tmp_path / "secrets.env"
    target.write_text("A=1\n")
    (tmp_path / ".env").symlink_to(target)
    write_secrets(tmp_path / ".env", {"MLFLOW_TRACKING_URI": "http://a"})
    assert (tmp_path / ".env").is_symlink()
    assert target.read_text() == "A=1\nMLFLOW_TRACKING_URI=http://a\n"


@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_value_comes_back_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("env") / ".env"
    write_secrets(path, {"MLFLOW_TRACKING_PASSWORD": value, "MLFLOW_TRACKING_URI": "http://a"})
    write_secrets(path, {"MLFLOW_TRACKING_URI": None})
    assert read_secrets(path) == {"MLFLOW_TRACKING_PASSWORD": value}
