"""The page about serving does what it says, against a real server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from running import LABELS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "serving.md").read_text(encoding="utf-8")
OF_LANGUAGE_MODELS = (DOCS / "serving-language-models.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_its_requests_are_answered(server):
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("curl")]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line.replace(ADDRESS, server.url))
        done = subprocess.run([*words, "--fail"], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)


def test_its_python_works(server):
    pytest.importorskip("openai")
    (code,) = blocks("python")
    host, port = server.url.removeprefix("http://").split(":")
    code = code.replace(ADDRESS, server.url).replace('"127.0.0.1", 8000', f'"{host}", {port}')
    for known, ours in zip(("ham", "spam"), LABELS, strict=False):
        code = code.replace(f'"{known}"', f'"{ours}"')
    names: dict = {}
    exec(compile(code, "docs/serving.md", "exec"), names)
    assert len(names["vectors"].data) == 2
    assert names["decision"].answers[0].choice in LABELS
    assert names["frame"]["label"][0] in LABELS


def test_it_and_the_page_about_language_models_name_every_figure(server):
    served = {
        line.split()[2] for line in server.get("/metrics").text.splitlines() if line.startswith("# TYPE")
    }
    named = set(re.findall(r"tunewright_\w+", PAGE + OF_LANGUAGE_MODELS))
    assert {name for name in served if not name.endswith("_created")} == named
