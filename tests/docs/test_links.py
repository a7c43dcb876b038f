"""Links lead somewhere, and files that the documentation names exist."""

from __future__ import annotations

import re

import pytest
from doc_pages import PAGES, ROOT, blocks, name_of, spans

LINK = re.compile(r"\]\(([^)\s]+)\)")
OURS = re.compile(
    r"(?:src|docs|tests|benchmarks|tools|config|data|evaluation|models|training|registry|pipeline|support)/[\w/-]+\.(?:py|md|yaml)"
)
PLACES = (ROOT, ROOT / "src" / "tunewright")


def anchors(text: str) -> set[str]:
    """Return the anchors that the forge gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_every_link_inside_the_project_leads_somewhere(page):
    prose = "\n".join(block.text for block in blocks(page) if block.language == "prose")
    for target in LINK.findall(prose):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.is_file(), f"{name_of(page)}: no {target}"
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), (
            f"{name_of(page)}: no {target}"
        )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_source_file_that_is_named_exists(page):
    for place, span in spans(page):
        if OURS.fullmatch(span) and "NAME" not in span:
            assert any((folder / span).is_file() for folder in PLACES), f"{place}: no {span}"


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"}
    assert pages <= set(LINK.findall(index))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_waits_for_a_figure(page):
    assert "FIGURES:" not in page.read_text(encoding="utf-8")
