"""Splits: nothing on both sides, nothing lost, the shares asked for, the same every time."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts_fixture import messages, read_rows, read_sms, write_source

from tunewright.config.data import DataConfig, Validation
from tunewright.data.allocation import ALL, TEST, allocate
from tunewright.data.dataset import SPLITS, Dataset
from tunewright.data.normal_form import key_form
from tunewright.data.splitting import leaked, split
from tunewright.data.validation import validate
from tunewright.support.errors import InputError

LENIENT = Validation(max_quarantined_share=1.0, conflicts="keep", duplicates="keep")


def made(tmp_path, rows, *, seed=42, validation=LENIENT, further=None, rows_a_part=1000, **config) -> Dataset:
    source = write_source(tmp_path / "in", rows, further=further, rows_a_part=rows_a_part)
    validate(source, validation, out=tmp_path / "good", quarantine=tmp_path / "quarantine.jsonl")
    return split(tmp_path / "good", DataConfig(**config), seed=seed, out=tmp_path / "data")


def sides(dataset: Dataset) -> dict[str, set[str]]:
    """The splits in which each normalised text stands."""
    found = defaultdict(set)
    for name in SPLITS:
        for row in read_rows(dataset.root / name):
            found[key_form(row["text"])].add(name)
    return found


@st.composite
def grouped_rows(draw):
    """Groups, labels and contents of rows; each label stands in at least three groups of its own."""
    labels = draw(st.integers(2, 4))
    rows = [(label * 10 + copy, label) for label in range(labels) for copy in range(3)]
    rows += draw(st.lists(st.tuples(st.integers(100, 160), st.integers(0, labels - 1)), max_size=150))
    return draw(st.permutations(rows))


@settings(max_examples=80, deadline=None)
@given(rows=grouped_rows(), seed=st.integers(0, 2**32 - 1), order=st.randoms())
def test_allocation_never_parts_a_group_and_doesnt_depend_on_the_order(rows, seed, order):
    def allocated(rows):
        names, labels = zip(*rows, strict=True)
        codes = np.unique(names, return_inverse=True)[1]
        return allocate(
            codes,
            np.array(labels),
            np.array(names) * 7919,
            label_names=tuple("abcd"[: max(labels) + 1]),
            test_share=0.2,
            validation_share=0.1,
            seed=seed,
        )

    found = allocated(rows)
    by_group = defaultdict(set)
    by_label = defaultdict(set)
    for (name, label), side in zip(rows, found.tolist(), strict=True):
        by_group[name].add(side)
        by_label[label].add(side)
    assert all(len(where) == 1 for where in by_group.values())
    assert all(where == set(ALL) for where in by_label.values())
    shuffled = rows[:]
    order.shuffle(shuffled)
    again = dict(zip([name for name, _ in shuffled], allocated(shuffled).tolist(), strict=True))
    assert {name: {side} for name, side in again.items()} == by_group


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 59), st.sampled_from(["same", "upper", "dots", "near"])), max_size=40
    ),
    mode=st.sampled_from(["near_duplicate", "text", "writer"]),
    seed=st.integers(0, 1000),
)
def test_no_text_stands_on_two_sides_and_every_row_is_kept_once(tmp_path_factory, edits, mode, seed):
    base = messages(60)
    change = {
        "same": lambda text: text,
        "upper": str.upper,
        "dots": lambda text: text.replace(" ", " … ") + "!!",
        "near": lambda text: text + " ok",
    }
    rows = base + [(base[index][0], change[how](base[index][1])) for index, how in edits]
    writers = [str(index % 20) for index in range(len(rows))]
    data = made(
        tmp_path_factory.mktemp("s"),
        rows,
        seed=seed,
        further={"writer": writers},
        split_by=mode,
        rows_a_part=17,
    )
    assert all(len(where) == 1 for where in sides(data).values())
    every = [row for name in SPLITS for row in read_rows(data.root / name)]
    assert sorted(row["row"] for row in every) == list(range(1, len(rows) + 1))
    assert [(row["label"], row["text"]) for row in sorted(every, key=lambda row: row["row"])] == rows
    assert data.manifest.leaks["normalised_text"] == 0
    if mode == "near_duplicate":
        assert data.manifest.leaks["near_duplicate"] == 0
    for name in SPLITS:
        numbers = [row["row"] for row in read_rows(data.root / name)]
        assert numbers == sorted(numbers)


def test_a_column_keeps_its_rows_on_one_side(tmp_path):
    rows = messages(200)
    writers = [f"writer {index % 37}" if index % 50 else None for index in range(200)]
    data = made(tmp_path, rows, further={"writer": writers, "city": ["Rome"] * 200}, split_by="writer")
    where = defaultdict(set)
    for name in SPLITS:
        for row in read_rows(data.root / name):
            assert list(row) == ["row", "source", "text", "label", "group", "writer", "city"]
            where[row["writer"]].add(name)
    where.pop(None)
    assert all(len(splits) == 1 for splits in where.values())
    assert data.manifest.columns["writer"] == "string"


def test_shares_hold_for_every_label(tmp_path):
    rows = messages(700, ("a", "a", "a", "b", "b", "c", "a"))
    data = made(tmp_path, rows)
    for label, count in data.manifest.labels.items():
        assert data.manifest.split_labels["test"][label] == pytest.approx(0.2 * count, abs=1)
        assert data.manifest.split_labels["validation"][label] == pytest.approx(0.1 * count, abs=1)


def test_the_smallest_data_set_has_each_label_in_each_split(tmp_path):
    data = made(tmp_path, messages(6))
    assert data.manifest.split_labels == {name: {"bug": 1, "praise": 1} for name in SPLITS}


def test_the_same_data_and_seed_give_the_same_bytes_and_another_seed_another_split(tmp_path):
    rows = messages(120)
    one = made(tmp_path / "one", rows)
    two = made(tmp_path / "two", rows, rows_a_part=13)
    other = made(tmp_path / "other", rows, seed=7)
    assert one.manifest == two.manifest
    for name in SPLITS:
        files = sorted((one.root / name).iterdir())
        assert [file.read_bytes() for file in files] == [
            (two.root / name / file.name).read_bytes() for file in files
        ]
    assert one.manifest.digest != other.manifest.digest


def test_the_order_of_rows_doesnt_change_which_side_a_text_is_on(tmp_path):
    rows = messages(150) + [(label, text + " ok") for label, text in messages(20)]
    shuffled = rows[:]
    random.Random(3).shuffle(shuffled)
    assert sides(made(tmp_path / "a", rows)) == sides(made(tmp_path / "b", shuffled))


def test_new_rows_move_few_of_the_old_ones(tmp_path):
    before = sides(made(tmp_path / "before", messages(1000)))
    after = sides(made(tmp_path / "after", messages(1050)))
    moved = sum(after[text] != where for text, where in before.items())
    assert moved <= 20


def test_an_unknown_column_names_the_columns(tmp_path):
    with pytest.raises(InputError) as failure:
        made(tmp_path, messages(9), further={"writer": ["x"] * 9}, split_by="writr")
    assert "no column 'writr'" in str(failure.value)
    assert "did you mean 'writer'?" in str(failure.value)
    assert "near_duplicate, text, source, writer" in str(failure.value)


def test_our_own_columns_are_no_key(tmp_path):
    with pytest.raises(InputError, match="no column 'label'"):
        made(tmp_path, messages(9), split_by="label")


@pytest.mark.parametrize(
    ("rows", "config", "told"),
    [
        (
            messages(20) + [("rare", f"call me back on monday {n}") for n in range(3)],
            {},
            "'rare' has too few",
        ),
        (messages(20), {"test_share": 0.6, "validation_share": 0.4}, "leave nothing to train on"),
        (messages(20), {"split_by": "source"}, "too few independent rows"),
    ],
)
def test_an_impossible_split_is_one_line(tmp_path, rows, config, told):
    with pytest.raises(InputError) as failure:
        made(tmp_path, rows, **config)
    assert told in str(failure.value)
    assert not (tmp_path / "data").exists()


def test_shards_are_bounded_and_open_with_the_data_set(tmp_path):
    data = made(tmp_path, messages(100), shard_rows=10)
    assert len(list((data.root / "train").iterdir())) == 7
    assert len(data.examples("train")) == data.manifest.splits["train"] == 70
    assert data.examples("test").labels == tuple(
        data.label_names.index(row["label"]) for row in read_rows(data.root / "test")
    )


def test_a_leak_is_counted():
    values = np.array([1, 1, 2, 2, 3])
    assert leaked(values, np.array([0, 0, 1, 1, 2], np.int8)) == 0
    assert leaked(values, np.array([0, 2, 1, 0, 2], np.int8)) == 2


@pytest.mark.parametrize("mode", ["near_duplicate", "text"])
def test_the_sms_collection_is_split_without_a_leak(tmp_path, sms, mode):
    data = made(tmp_path, read_sms(sms), validation=Validation(), split_by=mode)
    manifest = data.manifest
    assert (manifest.rows, manifest.unique) == (5574, 5171)
    assert manifest.labels == {"ham": 4827, "spam": 747}
    assert sum(manifest.splits.values()) == 5171
    assert manifest.splits["test"] == pytest.approx(1034, abs=2)
    assert all(len(where) == 1 for where in sides(data).values())
    assert (manifest.leaks["near_duplicate"] == 0) == (mode == "near_duplicate")
    assert Counter(len(row) for row in manifest.split_labels.values()) == {2: 3}
    if mode == "text":
        assert manifest.quality["test_share_near_train"] > 0.02


def test_test_rows_hold_the_named_share():
    labels = np.zeros(5000, int)
    found = allocate(
        np.arange(5000),
        labels,
        np.arange(5000) * 104729,
        label_names=("a",),
        test_share=0.2,
        validation_share=0.1,
        seed=1,
    )
    assert (found == TEST).sum() == 1000
