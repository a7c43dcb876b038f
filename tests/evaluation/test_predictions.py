import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sample_answers import examples_from, predictions_from

from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.latency import Latency, time_side_by_side
from tunewright.evaluation.predictions import Predictions, log_softmax, predict_split
from tunewright.support.errors import InputError, TunewrightError

CONFIG = EvaluationConfig(latency_samples=10)


class Lengths:
    """Says "long" when a text has more than five characters."""

    def __init__(self):
        self.calls = []

    def logits(self, texts):
        self.calls.append(list(texts))
        return np.array([[5.0 - len(text), 0.0] for text in texts])


def test_a_split_is_predicted_in_order_and_timed():
    examples = examples_from(
        [("abc", "short"), ("abcdefghi", "long"), ("abcd", "long")], ("short", "long"), start=5
    )
    scorer = Lengths()
    found = predict_split(scorer, examples, name="m", role="tuned", config=CONFIG, size_bytes=9)
    assert found.rows.tolist() == [5, 6, 7]
    assert found.predicted.tolist() == [0, 1, 0]
    assert found.correct.tolist() == [True, True, False]
    assert 0 <= found.latency.p50_ms <= found.latency.p95_ms
    assert found.latency.rows_per_second > 0
    assert found.size_bytes == 9
    assert any(len(call) == 1 for call in scorer.calls)
    assert any(len(call) == 3 for call in scorer.calls)


def test_saved_predictions_read_back_the_same(tmp_path):
    log_probabilities = np.array([[0.0, -np.inf], [-0.7, -0.7]], dtype=np.float32)
    before = Predictions(
        "ü/ä", "champion", np.array([4, 2]), np.array([0, 1]), log_probabilities, Latency(1.5, 2.5, 99.0), 12
    )
    before.save(tmp_path / "deep" / "p.parquet")
    after = Predictions.load(tmp_path / "deep" / "p.parquet")
    assert (after.name, after.role, after.latency, after.size_bytes) == (
        "ü/ä",
        "champion",
        before.latency,
        12,
    )
    assert after.rows.tolist() == [4, 2]
    assert after.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(after.log_probabilities, log_probabilities)


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" + b"\0" * 40])
def test_a_damaged_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match="doesn't hold predictions") as caught:
        Predictions.load(path)
    assert str(path) in str(caught.value)


def test_a_truncated_file_and_a_foreign_table_are_one_clear_line(tmp_path):
    import pandas as pd

    whole = tmp_path / "whole.parquet"
    predictions_from(np.zeros(50, int), np.zeros(50, int), count=2).save(whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-100])
    foreign = tmp_path / "foreign.parquet"
    pd.DataFrame({"row": [1]}).to_parquet(foreign)
    for path in (cut, foreign):
        with pytest.raises(InputError, match="doesn't hold predictions"):
            Predictions.load(path)
    with pytest.raises(InputError, match="no such file"):
        Predictions.load(tmp_path / "absent.parquet")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_gives_no_number_is_refused_with_its_row(bad):
    class Broken:
        def logits(self, texts):
            logits = np.zeros((len(texts), 2))
            logits[-1, 1] = bad
            return logits

    examples = examples_from([("a", "x"), ("b", "y")], ("x", "y"), start=41)
    with pytest.raises(TunewrightError, match=r"model 'm': gave no number for 1 of 2 rows, row 42 first"):
        predict_split(Broken(), examples, name="m", role="tuned", config=CONFIG)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="no rows"):
        predict_split(Lengths(), examples_from([], ("a",)), name="m", role="tuned", config=CONFIG)


def test_arrays_that_do_not_belong_together_are_refused():
    with pytest.raises(TunewrightError, match="2 rows, 3 labels"):
        Predictions("m", "tuned", np.arange(2), np.zeros(3, int), np.zeros((2, 2), dtype=np.float32))


@given(arrays.arrays(np.float64, (4, 3), elements=st.floats(-1e4, 1e4)))
def test_log_softmax_gives_probabilities_and_keeps_the_answer(logits):
    found = log_softmax(logits)
    np.testing.assert_allclose(np.exp(found.astype(float)).sum(axis=1), 1, atol=1e-5)
    assert (np.take_along_axis(logits, found.argmax(1)[:, None], 1)[:, 0] >= logits.max(1) - 1e-3).all()


def test_a_logit_of_minus_infinity_is_a_probability_of_zero():
    np.testing.assert_array_equal(np.exp(log_softmax(np.array([[3.0, -np.inf]]))), [[1.0, 0.0]])


class Named:
    """A model that notes when it is asked."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def logits(self, texts):
        self.calls.append((self.name, texts[0]))
        return np.zeros((len(texts), 2))


def test_models_that_are_timed_side_by_side_take_turns_on_the_same_texts():
    calls: list[tuple[str, str]] = []
    texts = [letter * length for length, letter in enumerate("abcdefghijkl", start=1)]
    found = time_side_by_side((Named("old", calls), Named("new", calls)), texts, samples=12)
    assert [0 <= p50 <= p95 for p50, p95 in found] == [True, True]
    timed = calls[-2 * len(texts) :]
    assert [name for name, _ in timed] == ["old", "new"] * len(texts)
    assert [text for _, text in timed[::2]] == [text for _, text in timed[1::2]] == texts
