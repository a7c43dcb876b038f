"""The study on disk: the same seed draws the same trials, in one process or in twelve; the median prunes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tunewright.config.compose import PACKAGED
from tunewright.pipeline.study import GRID_POINTS, STARTUP_TRIALS, Study, open_study
from tunewright.pipeline.sweep_words import read_space
from tunewright.pipeline.trial_record import TrialResult
from tunewright.support.errors import TunewrightError

WIDE = (
    "training.learning_rate=interval(1e-5,1e-1)",
    "training.batch_size=8,16,32",
    "training.lora.r=range(2,17,2)",
)
SMALL = ("training.batch_size=8,16,32", "training.schedule=linear,cosine")


def opened(folder: Path, words=WIDE, *, seed: int = 42, name: str = "s", prunes: bool = True) -> Study:
    return open_study(folder / "s.db", name, read_space(words, PACKAGED), seed=seed, prunes=prunes)


def score(values) -> float:
    """Be best at a learning rate of 1e-3, the better the larger the batch."""
    rate = values.get("training.learning_rate", 1e-3)
    return 1 / (1 + (math.log10(rate) + 3) ** 2) + values["training.batch_size"] / 1000


def result(value: float, epochs: int = 2) -> TrialResult:
    return TrialResult(
        value=value, scores=(value,) * epochs, identity="i", kind="lora", start_digest="s", encoder_digest="e",
        digest="d", steps=1, seconds=1.0, resumed_from_step=0,
    )  # fmt: skip


def trial(study: Study):
    begun = study.next()
    study.finish(begun, result(score(begun.params)))
    return dict(begun.params)


def test_the_same_seed_gives_the_same_trials_in_one_process_or_many(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    study = opened(tmp_path / "one")
    at_once = [trial(study) for _ in range(12)]
    one_by_one = [trial(opened(tmp_path / "many")) for _ in range(12)]
    assert at_once == one_by_one
    assert len({tuple(sorted(each.items())) for each in at_once}) == 12


def test_another_seed_gives_other_trials(tmp_path):
    assert trial(opened(tmp_path, name="a")) != trial(opened(tmp_path, name="b", seed=43))


def test_a_killed_trial_keeps_number_and_values(tmp_path):
    begun = opened(tmp_path).next()
    (again,) = opened(tmp_path).begun()
    assert (again.number, again.params) == (begun.number, begun.params)
    study = opened(tmp_path)
    study.finish(again, result(0.5))
    assert [each.state for each in study.records()] == ["complete"]
    assert study.begun() == []


def test_the_sampler_learns(tmp_path):
    study = opened(tmp_path)
    rates = [trial(study)["training.learning_rate"] for _ in range(24)]
    drawn, chosen = rates[:STARTUP_TRIALS], rates[12:]
    assert sum(1e-4 < rate < 1e-2 for rate in chosen) / len(chosen) > 0.6
    assert min(drawn) < 1e-4 or max(drawn) > 1e-2


def test_a_small_space_is_walked_without_repeats(tmp_path):
    study = opened(tmp_path, SMALL)
    assert study.space.size == 6 <= GRID_POINTS
    seen = [tuple(sorted(trial(opened(tmp_path, SMALL)).items())) for _ in range(6)]
    assert len(set(seen)) == 6


def test_a_trial_below_the_median_is_pruned_and_stays_so(tmp_path):
    study = opened(tmp_path)
    for _ in range(STARTUP_TRIALS):
        begun = study.next()
        assert not study.report(begun, 1, 0.8)
        study.finish(begun, result(0.8))
    behind, ahead = study.next(), study.next()
    assert study.report(behind, 1, 0.5)
    assert not study.report(ahead, 1, 0.9)
    (again, _) = opened(tmp_path).begun()
    assert opened(tmp_path).report(again, 1, 0.99)  # asked again after a kill: the answer on disk holds
    study.finish(behind, result(0.5, epochs=1))
    study.finish(ahead, result(0.9))
    *_, pruned, complete = study.records()
    assert (pruned.state, pruned.value, complete.state) == ("pruned", 0.5, "complete")
    assert study.best().number == ahead.number


def test_without_pruning_every_trial_goes_on(tmp_path):
    study = opened(tmp_path, prunes=False)
    for _ in range(STARTUP_TRIALS):
        trial(study)
    assert not study.report(study.next(), 1, 0.0)


def test_equals_are_won_by_the_earliest_and_failures_never_win(tmp_path):
    study = opened(tmp_path)
    failed = study.next()
    study.fail(failed, "the loss became infinite")
    for _ in range(2):
        study.finish(study.next(), result(0.7))
    assert study.best().number == 1
    assert study.records()[0].error == "the loss became infinite"


def test_a_damaged_study_gives_one_line(tmp_path):
    (tmp_path / "s.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TunewrightError, match=r"s\.db: the study can't be opened"):
        opened(tmp_path)


def test_a_folder_with_braces_holds_a_study(tmp_path):
    folder = tmp_path / "a {b} c"
    folder.mkdir()
    trial(opened(folder))
    assert (folder / "s.db").is_file()
