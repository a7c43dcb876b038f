"""docs/importing.md: its files import as it shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "importing.md"
FENCED = re.compile(
    r"(?:^`(?P<name>[\w./]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def test_the_pages_files_import_as_it_shows(cli, tmp_path):
    answered, shown = "", 0
    for block in FENCED.finditer(PAGE.read_text(encoding="utf-8")):
        name, language, text = block["name"], block["language"], block["text"]
        if name:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        elif language == "console":
            *_, last = text.splitlines()
            is_shown = last.startswith("tunewright import") and text.count("\n") == 1
            said = cli(*last.split()[1:], cwd=tmp_path) if is_shown else None
            answered = said.out + said.err if said else ""
            assert said is None or said.code == 0, answered
        else:
            missing = [line for line in text.splitlines() if line.strip() not in answered]
            assert missing == []
            shown += 1
    assert shown == 3
