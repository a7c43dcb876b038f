"""Read the documentation: its pages, their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/*.md"))]
SHELL = ("console", "bash")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\s*$")
SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block, or the prose between two of them (language ``prose``)."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command as a shell would start it."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.words)}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Give a page's blocks in order, prose included."""
    lines: list[str] = []
    start, language = 1, "prose"
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = FENCE.match(line)
        if fence is None:
            lines.append(line)
            continue
        yield Block(name_of(page), start, language, dedent("\n".join(lines)))
        lines, start = [], number + 1
        language = (fence["language"] or "none") if language == "prose" else "prose"
    assert language == "prose", f"{name_of(page)}: a fence is left open"
    yield Block(name_of(page), start, language, "\n".join(lines))


def commands(block: Block) -> Iterator[Command]:
    """Split a shell block into commands: one a line, or several joined by ``&&`` or a pipe."""
    text = ""
    for offset, line in enumerate(block.text.splitlines()):
        text += line + "\n"
        try:
            words = shlex.split(text.replace("\\\n", " "), comments=True)
        except ValueError:  # a quote goes on in the next line
            continue
        text = ""
        for is_joint, group in groupby(words, key=lambda word: word in ("&&", "|")):
            if not is_joint:
                yield Command(f"{block.page}:{block.line + offset}", tuple(_without_redirection(list(group))))
    assert not text, f"{block.place}: a quote is left open"


def _without_redirection(words: list[str]) -> list[str]:
    return words[: words.index(">")] if ">" in words else words


def spans(page: Path) -> Iterator[tuple[str, str]]:
    """Give the ``code spans`` of a page's prose, with their place."""
    for block in blocks(page):
        if block.language == "prose":
            for offset, line in enumerate(block.text.splitlines()):
                for found in SPAN.findall(line):
                    yield f"{block.page}:{block.line + offset}", found
