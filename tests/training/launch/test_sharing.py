"""Processes get equal numbers of batches, and together the rows of the step, each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.training.batching import Batches
from tunewright.training.group import Group
from tunewright.training.launch.sharing import OwnBatches, RowsWithSilent, deal

PROCESSES = st.integers(2, 5)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=70),
    size=st.integers(1, 5),
    accumulation=st.integers(1, 3),
    processes=PROCESSES,
    grouping=st.sampled_from(["length_grouped", "random"]),
)
def test_each_step_holds_the_rows_that_one_process_would_take(
    lengths, size, accumulation, processes, grouping
):
    batches = Batches(lengths, size, window=accumulation * processes, grouping=grouping, seed=3)
    alone = Batches(lengths, size, window=accumulation * processes, grouping=grouping, seed=3)
    for step, same in zip(batches.steps(1), alone.steps(1), strict=True):
        shares = deal(step, processes)
        assert len({len(share) for share in shares}) == 1, "every process meets the others as often"
        assert len(shares[0]) <= accumulation
        assert all(0 < len(batch) <= size for share in shares for batch in share)
        learned = [row for share in shares for batch in share for row in batch if row >= 0]
        assert sorted(learned) == sorted(row for batch in same for row in batch)


@given(rows=st.integers(1, 70), size=st.integers(1, 5), accumulation=st.integers(1, 3), processes=PROCESSES)
def test_the_length_of_an_epoch_is_known_before_it_is_walked(rows, size, accumulation, processes):
    batches = Batches([7] * rows, size, window=accumulation * processes, grouping="random", seed=0)
    walked = [list(OwnBatches(batches, Group(rank, processes))) for rank in range(processes)]
    assert {len(own) for own in walked} == {len(OwnBatches(batches, Group(0, processes)))}


def test_a_row_that_fills_up_carries_no_loss():
    class Two:
        def __len__(self):
            return 2

        def __getitem__(self, position):
            return ((5, 6), (9, 8, 7))[position], ((False, True), (True, True, True))[position]

    rows = RowsWithSilent(Two())
    assert rows[1] == ((9, 8, 7), (True, True, True))
    assert rows[~1] == ((9, 8, 7), (False, False, False))


@given(rows=st.integers(1, 30), processes=st.integers(1, 5))
def test_validation_shares_are_equal_and_cover_every_row(rows, processes):
    shares = [Group(rank, processes).own(rows) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert {row for share in shares for row in share} == set(range(rows))


def test_a_group_of_one_asks_nobody():
    group = Group()
    assert group.agree(5) == 5
    assert group.gather("here") == ["here"]
    assert group.join(group.own(3), ["a", "b", "c"], rows=3) == ["a", "b", "c"]
    assert not group.cuts_weights


@pytest.mark.parametrize(
    ("strategy", "cuts"), [("ddp", False), ("zero2", False), ("fsdp2", True), ("zero3", True)]
)
def test_who_holds_the_whole_model(strategy, cuts):
    assert Group(1, 2, strategy).cuts_weights is cuts
