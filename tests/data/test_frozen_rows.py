"""Rows keep their split when labelled batches come; nothing that was a test row is trained on."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts_fixture import messages, read_rows, write_source

from tunewright.config.data import DataConfig, Validation
from tunewright.data.dataset import SPLITS, Dataset
from tunewright.data.frozen import freeze, read_frozen
from tunewright.data.normal_form import key_form
from tunewright.data.splitting import split
from tunewright.data.validation import validate
from tunewright.support.errors import InputError

LENIENT = Validation(max_quarantined_share=1.0, conflicts="keep", duplicates="keep")


def made(folder, rows, *, frozen=None, seed=42) -> Dataset:
    source = write_source(folder / "in", rows)
    validate(source, LENIENT, out=folder / "good", quarantine=folder / "quarantine.jsonl")
    return split(folder / "good", DataConfig(), seed=seed, out=folder / "data", frozen=frozen)


def texts(dataset: Dataset, name: str) -> set[str]:
    return {key_form(row["text"]) for row in read_rows(dataset.root / name)}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(old=st.integers(40, 120), new=st.integers(10, 120), seed=st.integers(0, 999), order=st.randoms())
def test_old_test_rows_stay_and_new_ones_join(tmp_path_factory, old, new, seed, order):
    folder = tmp_path_factory.mktemp("frozen")
    rows = messages(old + new)
    before = made(folder / "before", rows[:old])
    freeze(before, folder / "frozen.parquet")
    mixed = list(rows)
    order.shuffle(mixed)
    after = made(folder / "after", mixed, frozen=read_frozen(folder / "frozen.parquet"), seed=seed)
    for name in SPLITS:
        assert texts(before, name) <= texts(after, name), name
    assert after.manifest.leaks == {"normalised_text": 0, "near_duplicate": 0}
    assert sum(after.manifest.splits.values()) == old + new


def test_a_new_row_that_resembles_a_test_row_is_not_trained_on(tmp_path):
    rows = messages(90)
    before = made(tmp_path / "before", rows)
    freeze(before, tmp_path / "frozen.parquet")
    tested = read_rows(before.root / "test")[0]
    near = (tested["label"], tested["text"] + " please")
    after = made(tmp_path / "after", [*rows, near], frozen=read_frozen(tmp_path / "frozen.parquet"))
    assert key_form(near[1]) in texts(after, "test")


def test_freezing_again_keeps_what_was_frozen(tmp_path):
    rows = messages(90)
    file = tmp_path / "frozen.parquet"
    freeze(made(tmp_path / "all", rows), file)
    all_rows = read_frozen(file)
    random.Random(0).shuffle(rows)
    freeze(made(tmp_path / "some", rows[:60], frozen=all_rows), file)
    again = read_frozen(file)
    assert again.keys.tolist() == all_rows.keys.tolist()
    assert again.side.tolist() == all_rows.side.tolist()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "frozen.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=r"frozen\.parquet"):
        read_frozen(tmp_path / "frozen.parquet")
