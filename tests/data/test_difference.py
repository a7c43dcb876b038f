"""What differs between two sets of rows, whatever they hold and in whatever order."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.difference import Change, compare

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ü", "", "a "]), st.sampled_from(["x", "y", None])), max_size=12
)


def shards(folder, name, rows):
    """Write rows as two shards."""
    paths = []
    for part, chosen in enumerate((rows[::2], rows[1::2])):
        path = folder / f"{name}-{part}.parquet"
        columns = {"text": [text for text, _ in chosen], "label": [label for _, label in chosen]}
        table = pa.table({key: pa.array(value, pa.string()) for key, value in columns.items()})
        pq.write_table(table, path)
        paths.append(path)
    return paths


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.randoms())
def test_applying_the_changes_gives_the_rows_after(tmp_path_factory, before, after, random):
    folder = tmp_path_factory.mktemp("rows")
    random.shuffle(before)
    found = compare(shards(folder, "before", before), shards(folder, "after", after))
    rows = Counter((text, label or "") for text, label in before)
    for change in found.changes:
        if change.before is not None:
            rows[change.text, change.before] -= 1
        if change.after is not None:
            rows[change.text, change.after] += 1
    assert +rows == Counter((text, label or "") for text, label in after)
    assert min(rows.values(), default=0) >= 0
    assert (found.before, found.after) == (len(before), len(after))
    assert found.before + found.count("added") - found.count("removed") == found.after


@settings(max_examples=30, deadline=None)
@given(ROWS, st.randoms())
def test_order_makes_no_difference(tmp_path_factory, rows, random):
    folder = tmp_path_factory.mktemp("rows")
    other = list(rows)
    random.shuffle(other)
    assert compare(shards(folder, "before", rows), shards(folder, "after", other)).changes == ()


def test_a_row_is_paired_with_itself(tmp_path):
    before = [("one", "x"), ("two", "x"), ("two", "x"), ("gone", "y")]
    after = [("one", "y"), ("two", "x"), ("two", "y"), ("new", "y")]
    found = compare(shards(tmp_path, "before", before), shards(tmp_path, "after", after))
    assert set(found.changes) == {
        Change("relabelled", "one", "x", "y"),
        Change("relabelled", "two", "x", "y"),
        Change("removed", "gone", "y", None),
        Change("added", "new", None, "y"),
    }
