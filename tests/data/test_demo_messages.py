"""The bundled messages are what their README says: enough, varied, clean, and neither trivial nor hopeless."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from importlib.resources import files

import pytest

DEMO = files("tunewright.demo")
WORDS_OF_AN_OPENING = 4
SHINGLE = 5  # characters, as in the README


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    text = DEMO.joinpath("messages.csv").read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture(scope="module")
def texts(rows) -> list[str]:
    return [row["text"] for row in rows]


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def shingles(text: str) -> frozenset[str]:
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def test_there_are_enough_messages_and_intents(rows):
    assert len(rows) >= 700
    assert len({row["intent"] for row in rows}) >= 6


def test_every_row_has_a_text_and_a_named_intent(rows):
    for row in rows:
        assert list(row) == ["text", "intent"]
        assert row["text"] == row["text"].strip()
        assert row["text"]
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", row["intent"])


def test_one_message_a_line_quoted_only_where_needed(rows):
    rewritten = io.StringIO(newline="")
    writer = csv.writer(rewritten, lineterminator="\n")
    writer.writerow(["text", "intent"])
    writer.writerows((row["text"], row["intent"]) for row in rows)
    raw = DEMO.joinpath("messages.csv").read_bytes()
    assert raw == rewritten.getvalue().encode()
    assert raw.count(b"\n") == len(rows) + 1


def test_intents_are_nearly_balanced_but_not_exactly(rows):
    counts = Counter(row["intent"] for row in rows).values()
    assert min(counts) >= 70
    assert max(counts) <= 115
    assert len(set(counts)) > 1


def test_rows_are_mixed_so_the_top_of_the_file_shows_every_intent(rows):
    assert {row["intent"] for row in rows[:60]} == {row["intent"] for row in rows}


def test_no_text_appears_twice_whatever_its_case_or_punctuation(texts):
    repeated = [text for text, times in Counter(map(plain, texts)).items() if times > 1]
    assert repeated == []


def test_no_two_messages_are_near_duplicates(texts):
    pieces = [shingles(plain(text)) for text in texts]
    similarity, first, second = max(
        (len(a & b) / len(a | b), i, j) for (i, a), (j, b) in itertools.combinations(enumerate(pieces), 2)
    )
    assert similarity < 0.5, (texts[first], texts[second])


def test_no_opening_dominates(texts):
    openings = Counter(
        tuple(words[:WORDS_OF_AN_OPENING])
        for words in (plain(text).split() for text in texts)
        if len(words) >= WORDS_OF_AN_OPENING
    )
    opening, times = openings.most_common(1)[0]
    assert times <= 0.03 * len(texts), opening


def test_no_phrase_dominates(texts):
    phrases: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = plain(text).split()
        phrases.update({tuple(words[i : i + 4]) for i in range(len(words) - 3)})
    phrase, times = phrases.most_common(1)[0]
    assert times <= 0.03 * len(texts), phrase


def test_lengths_vary_from_a_few_words_to_a_paragraph(texts):
    lengths = sorted(len(text.split()) for text in texts)
    assert lengths[len(lengths) // 20] <= 6
    assert lengths[-1] >= 50
    assert lengths[-1] <= 60


def test_spelling_and_register_vary(texts):
    share_without_capital = sum(text[0].islower() for text in texts) / len(texts)
    assert 0.1 < share_without_capital < 0.5
    assert sum(not text.isascii() for text in texts) >= 10
    assert sum(any(letter.isdigit() for letter in text) for text in texts) >= 100


def test_addresses_for_mail_are_reserved_ones(texts):
    found = [mail for text in texts for mail in re.findall(r"\S+@\S+?(?=[\s,?!]|$)", text)]
    assert found
    assert all(re.search(r"@example\.(com|org)$", mail) for mail in found)


def test_a_bag_of_words_neither_solves_the_task_nor_fails_it(rows, texts):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    accuracy = cross_val_score(model, texts, [row["intent"] for row in rows], cv=folds).mean()
    assert 0.7 < accuracy < 0.85


def test_the_readme_states_the_true_counts(rows):
    readme = DEMO.joinpath("README.md").read_text(encoding="utf-8")
    assert f"{len(rows)} short messages" in readme
    stated = {name: int(times) for name, times in re.findall(r"\| `(\w+)` \| (\d+) \|", readme)}
    assert stated == Counter(row["intent"] for row in rows)
