import csv

import numpy as np
import pytest
from sample_answers import examples_from

from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.baselines import majority, tfidf
from tunewright.evaluation.metrics import score
from tunewright.support.errors import InputError

CONFIG = EvaluationConfig(latency_samples=10)
NAMES = ("ask", "thank")
TRAIN = [
    ("where is my parcel", "ask"),
    ("how do I pay", "ask"),
    ("when do you open?", "ask"),
    ("thank you", "thank"),
]
TEST = [("where do I pay", "ask"), ("thank you all", "thank")]


def test_majority_answers_the_most_frequent_label_with_its_frequency():
    found = majority(examples_from(TRAIN, NAMES), examples_from(TEST, NAMES), NAMES, CONFIG)
    assert found.predicted.tolist() == [0, 0]
    np.testing.assert_allclose(np.exp(found.log_probabilities), [[0.75, 0.25]] * 2, rtol=1e-6)
    assert (found.name, found.role) == ("majority", "trivial")
    assert found.latency is not None


def test_words_and_characters_tell_labels_apart_the_same_way_each_time():
    train, test = examples_from(TRAIN, NAMES), examples_from(TEST, NAMES)
    found, again = (tfidf(train, test, NAMES, CONFIG, seed=1) for _ in range(2))
    assert found.correct.all()
    assert (found.name, found.role) == ("tfidf", "trivial")
    assert found.size_bytes > 0
    np.testing.assert_array_equal(found.log_probabilities, again.log_probabilities)


def test_a_label_without_training_rows_is_never_answered():
    names = (*NAMES, "unseen")
    train, test = examples_from(TRAIN, names), examples_from([*TEST, ("eh", "unseen")], names)
    for found in (majority(train, test, names, CONFIG), tfidf(train, test, names, CONFIG, seed=1)):
        assert (found.log_probabilities[:, 2] == -np.inf).all()
        assert score(found.labels, found.log_probabilities, names, bins=5).recall["unseen"] == 0


@pytest.mark.parametrize("texts", [("!!!", "?!"), ("日本語です", "こんにちは"), ("a", "b"), ("👍", "👎")])
def test_texts_without_words_are_no_problem(texts):
    train = examples_from([(texts[0], "ask"), (texts[1], "thank")] * 3, NAMES)
    test = examples_from([(texts[0], "ask"), (texts[1], "thank"), ("", "ask")], NAMES)
    found = tfidf(train, test, NAMES, CONFIG, seed=1)
    assert found.correct[:2].all()


def test_training_rows_of_one_label_fall_back_to_it():
    train = examples_from([("a", "ask"), ("b", "ask")], NAMES)
    assert tfidf(train, examples_from(TEST, NAMES), NAMES, CONFIG, seed=1).predicted.tolist() == [0, 0]


def test_no_training_rows_are_one_clear_line():
    with pytest.raises(InputError, match="no training rows"):
        majority(examples_from([], NAMES), examples_from(TEST, NAMES), NAMES, CONFIG)


def test_messages_are_told_from_spam_nearly_as_well_as_by_a_language_model(sms):
    rows, seen = [], set()
    for line in sms.read_text(encoding="utf-8").splitlines():
        label, text = line.split("\t", 1)
        if text not in seen:
            seen.add(text)
            rows.append((text, label))
    order = np.random.default_rng(0).permutation(len(rows))
    cut = int(0.8 * len(rows))
    names = ("ham", "spam")
    train = examples_from([rows[at] for at in order[:cut]], names)
    test = examples_from([rows[at] for at in order[cut:]], names)
    found = tfidf(train, test, names, CONFIG, seed=1)
    metrics = score(found.labels, found.log_probabilities, names, bins=15)
    assert metrics.accuracy >= 0.98
    assert metrics.f1["spam"] >= 0.93
    assert majority(train, test, names, CONFIG).correct.mean() == pytest.approx(0.87, abs=0.02)


@pytest.mark.slow
def test_seventy_seven_intents_are_told_apart(shared):
    def rows(name):
        with (shared / "data" / "banking77" / name).open(newline="") as stream:
            return list(csv.reader(stream))[1:]

    train, test = rows("train.csv"), rows("test.csv")
    names = tuple(sorted({label for _, label in train}))
    found = tfidf(examples_from(train, names), examples_from(test, names), names, CONFIG, seed=1)
    assert found.correct.mean() >= 0.90
