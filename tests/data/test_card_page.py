"""The data card: one page that opens anywhere, shows what is there, and runs nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from parts_fixture import messages, read_sms, write_source

from tunewright.config.data import DataConfig, Validation
from tunewright.data.card import write_card
from tunewright.data.splitting import split
from tunewright.data.validation import validate
from tunewright.support.errors import InputError, TunewrightError


class Page(HTMLParser):
    """Collects tags, addresses and visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


def card(tmp_path: Path, rows, **config) -> Page:
    source = write_source(tmp_path / "in", rows)
    rules = Validation(max_quarantined_share=1.0)
    validate(source, rules, out=tmp_path / "good", quarantine=tmp_path / "quarantine.jsonl")
    data = split(tmp_path / "good", DataConfig(**config), seed=1, out=tmp_path / "data")
    write_card(data, tmp_path / "reports" / "card.html")
    return Page((tmp_path / "reports" / "card.html").read_text(encoding="utf-8"))


def test_a_row_with_a_script_is_shown_as_text(tmp_path):
    attack = "<script>alert('x')</script><img src=x onerror=alert(1)> & \"quotes\""
    near = [
        ("bug", f"{attack} {word} is what I got when I opened the page of my order")
        for word in ("this", "that")
    ]
    bad = [("bug", ""), ("<b>praise</b>", None)]
    page = card(tmp_path, [*messages(40, ("bug", "<b>praise</b>")), *near, *bad])
    assert attack in page.text
    assert "<b>praise</b>" in page.text
    assert "script" not in page.tags
    assert "img" not in page.tags


def test_the_page_needs_nothing_else(tmp_path):
    page = card(tmp_path, messages(30))
    assert page.addresses == []
    assert {"svg", "rect", "table"} <= set(page.tags)
    assert "url(" not in (tmp_path / "reports" / "card.html").read_text()


def test_the_page_shows_counts_reasons_notes_and_the_proof(tmp_path):
    page = card(tmp_path, [*messages(30), *messages(5), ("bug", " "), ("bug", "")])
    for told in (
        "Nothing stands on both sides",
        "exact duplicate · 5 rows",
        "same text and label as row 1",
        "empty text · 2 rows",
        "no header & <no> quoting",
        "html entities",
        "train 20",
    ):
        assert told in page.text.replace("\n", " "), told


def test_near_duplicates_on_both_sides_are_told(tmp_path):
    rows = messages(40)
    page = card(tmp_path, rows + [(label, f"{text} ok") for label, text in rows], split_by="text")
    assert "have one in train" in page.text


@pytest.mark.parametrize("labels", [("only", "two"), tuple(f"label {n}" for n in range(60))])
def test_few_or_many_labels_fit(tmp_path, labels):
    page = card(tmp_path, messages(60 * 6, labels))
    assert labels[0] in page.text
    assert ("smaller labels" in page.text) == (len(labels) > 40)


def test_an_incomplete_data_set_or_a_blocked_place_is_one_line(tmp_path):
    source = write_source(tmp_path / "in", messages(20))
    validate(source, Validation(), out=tmp_path / "good", quarantine=tmp_path / "q")
    data = split(tmp_path / "good", DataConfig(), seed=1, out=tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(TunewrightError, match="can't be written"):
        write_card(data, tmp_path / "file" / "card.html")
    next((data.root / "test").iterdir()).unlink()
    with pytest.raises(InputError, match="holds no parquet part"):
        write_card(data, tmp_path / "card.html")


def test_the_card_of_the_sms_collection_is_small(tmp_path, sms):
    page = card(tmp_path, read_sms(sms))
    assert "5,574" in page.text
    assert (tmp_path / "reports" / "card.html").stat().st_size < 100_000
