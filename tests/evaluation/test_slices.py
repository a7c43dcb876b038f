import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.slices import by_length, slice_masks
from tunewright.support.errors import InputError

ROWS = [("a" * length, "x" if length % 2 else "y") for length in range(1, 41)]


@given(st.lists(st.text(max_size=40), max_size=60))
def test_parts_by_length_hold_each_row_once(texts):
    masks = by_length(texts)
    assert len(masks) <= 4
    total = sum((mask.astype(int) for mask in masks.values()), np.zeros(len(texts), int))
    assert (total == 1).all()


def test_texts_of_one_length_are_one_part():
    assert list(by_length(["same", "size"])) == ["length 4 to 4 characters"]


def test_slices_are_quarters_files_and_values_of_asked_columns(make_dataset):
    dataset = make_dataset(ROWS[:4], ROWS, team=["north", "south"] * 19 + ["", None])
    masks = slice_masks(dataset, EvaluationConfig(slice_columns=("team",)))
    assert list(masks) == [
        "length 1 to 10 characters", "length 11 to 20 characters", "length 21 to 30 characters",
        "length 31 to 40 characters", "file a.csv", "file b.csv",
        "team north", "team south", "team ", "team (missing)",
    ]  # fmt: skip
    assert all(mask.shape == (40,) for mask in masks.values())
    assert masks["team north"].sum() == 19


def test_a_column_that_is_not_there_names_the_nearest(make_dataset):
    dataset = make_dataset(ROWS[:4], ROWS, channel=["web"] * 40)
    with pytest.raises(InputError, match=r"'chanel': no such column.*did you mean 'channel'"):
        slice_masks(dataset, EvaluationConfig(slice_columns=("chanel",)))
