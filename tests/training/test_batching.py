"""Batches hold every row once, waste little on padding, begin with the longest, and repeat by seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.support.errors import InputError
from tunewright.training.batching import Batches, Padding, encode

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=400)


@given(
    lengths,
    st.integers(1, 40),
    st.integers(1, 5),
    st.sampled_from(["length_grouped", "random"]),
    st.integers(0, 9),
)
def test_every_row_stands_in_exactly_one_batch(lengths, batch_size, window, grouping, epoch):
    batches = Batches(lengths, batch_size, window=window, grouping=grouping, seed=3)
    steps = batches.steps(epoch)
    flat = [batch for step in steps for batch in step]
    assert sorted(row for batch in flat for row in batch) == list(range(len(lengths)))
    assert len(flat) == len(batches)
    assert all(len(step) == window for step in steps[:-1]), "only the last step may gather fewer batches"
    assert all(len(batch) == batch_size for batch in flat[:-1]) or window > 1 or grouping == "length_grouped"
    batches.set_epoch(epoch)
    assert list(batches) == flat


@given(lengths, st.integers(1, 40), st.integers(1, 5), st.integers(0, 9))
def test_the_longest_batch_comes_first(lengths, batch_size, window, epoch):
    steps = Batches(lengths, batch_size, window=window, grouping="length_grouped", seed=3).steps(epoch)
    batches = Batches(lengths, batch_size, grouping="length_grouped", seed=3)
    cost = [max(batches.tokens(batch)[1] for batch in step) for step in steps]
    assert cost[0] == max(cost)


@given(lengths, st.integers(0, 5))
def test_four_batches_of_eight_hold_the_rows_of_one_of_thirty_two(lengths, epoch):
    for grouping in ("length_grouped", "random"):
        small = Batches(lengths, 8, window=4, grouping=grouping, seed=1).steps(epoch)
        large = Batches(lengths, 32, grouping=grouping, seed=1).steps(epoch)
        assert [rows_of(step) for step in small] == [rows_of(step) for step in large]


def rows_of(step):
    return sorted(row for batch in step for row in batch)


def test_same_seed_and_epoch_repeat_and_another_epoch_differs():
    lengths = np.random.default_rng(0).integers(3, 60, 500)
    one, two = (Batches(lengths, 16, grouping="length_grouped", seed=5) for _ in range(2))
    assert one.steps(4) == two.steps(4)
    assert one.steps(4) != one.steps(5)
    sets = [{frozenset(batch) for step in one.steps(epoch) for batch in step} for epoch in (0, 1)]
    assert len(sets[0] & sets[1]) < 5, "rows meet other rows in the next epoch"


def test_grouping_saves_most_of_the_padding():
    lengths = np.random.default_rng(0).lognormal(2.8, 0.7, 2000).astype(int).clip(3, 128)

    def waste(grouping):
        batches = Batches(lengths, 32, grouping=grouping, seed=0)
        useful, computed = np.array([batches.tokens(batch) for batch in batches]).sum(axis=0)
        return 1 - useful / computed

    assert waste("length_grouped") < 0.1
    assert waste("random") > 0.5


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=6), st.booleans())
def test_padding_keeps_every_token_and_masks_the_rest(rows, left):
    padding = Padding(pad_id=0, side="left" if left else "right")
    batch = padding([(row, 1) for row in rows])
    assert batch["input_ids"].shape == (len(rows), max(map(len, rows)))
    for ids, mask, row in zip(batch["input_ids"], batch["attention_mask"], rows, strict=True):
        assert ids[mask.bool()].tolist() == row
        assert ids[~mask.bool()].eq(0).all()


def test_long_rows_are_cut_and_counted(tiny_folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    encoded = encode(
        tokenizer, ["call now", "please call my phone at home today"], [0, 1], limit=6, split="train"
    )
    assert encoded.truncated == 1
    assert encoded.lengths.tolist() == [4, 6]
    assert encoded.ids[1][-1] == tokenizer.sep_token_id, "the closing token survives the cut"


def test_an_empty_split_is_refused():
    with pytest.raises(InputError, match="validation split: has no rows"):
        encode(None, [], [], limit=8, split="validation")
