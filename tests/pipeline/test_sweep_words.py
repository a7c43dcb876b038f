"""What is searched: Hydra's sweep syntax read as users of its sweepers expect, wrong uses refused in one line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import configure

from tunewright.config.compose import PACKAGED
from tunewright.pipeline.search_space import Choices, Numbers
from tunewright.pipeline.sweep_words import read_space
from tunewright.support.errors import InputError

RATE, BATCH = "training.learning_rate", "training.batch_size"


def domain(word: str):
    (dimension,) = read_space([word], PACKAGED).dimensions
    return dimension.domain


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (f"{BATCH}=16,32", Choices((16, 32))),
        (f"{BATCH}=choice(16,32,16)", Choices((16, 32))),
        ("training.schedule=linear,cosine", Choices(("linear", "cosine"))),
        ("training.epochs=null,2,3.5", Choices((None, 2, 3.5))),
        ("training.lora.target_modules=choice([query],[query,value])", Choices(("[query]", "[query,value]"))),
        ("training=full,lora", Choices(("full", "lora"))),
        ("training=glob(*po)", Choices(("dpo", "grpo", "orpo"))),
        ("model.name=minilm,distilbert", Choices(("minilm", "distilbert"))),
        (f"{BATCH}=range(8,33,8)", Numbers(8, 32, step=8, whole=True)),
        (f"{BATCH}=range(3)", Numbers(0, 2, step=1, whole=True)),
        (f"{BATCH}=range(10,0,-5)", Numbers(5, 10, step=5, whole=True)),
        ("training.lora.dropout=range(0,0.3,0.1)", Numbers(0, 0.2, step=0.1)),
        (f"{BATCH}=interval(8,64)", Numbers(8, 64, whole=True)),
        (f"{BATCH}=tag(log,interval(8,64))", Numbers(8, 64, log=True, whole=True)),
        ("training.epochs=interval(1,4)", Numbers(1, 4)),
        ("training.epochs=tag(int,interval(1,4))", Numbers(1, 4, whole=True)),
        ("training.weight_decay=interval(0,0.1)", Numbers(0, 0.1)),
        ("training.weight_decay=tag(log,interval(1e-4,0.1))", Numbers(1e-4, 0.1, log=True)),
        (f"{RATE}=interval(1e-5,1e-3)", Numbers(1e-5, 1e-3, log=True)),
        (f"{RATE}=tag(linear,interval(1e-5,1e-3))", Numbers(1e-5, 1e-3)),
        (f"{RATE}=interval(1e-4,5e-4)", Numbers(1e-4, 5e-4)),
    ],
)
def test_hydras_words_mean_what_they_mean_in_hydra(word, expected):
    assert domain(word) == expected


@settings(deadline=None)
@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-9, 9))
def test_a_range_holds_the_numbers_that_pythons_holds(start, stop, step):
    word = f"{BATCH}=range({start},{stop},{step})"
    numbers = sorted(range(start, stop, step)) if step else []
    if not numbers:
        with pytest.raises(InputError, match="empty"):
            domain(word)
    else:
        assert domain(word).listed() == numbers
        assert domain(word).size == len(numbers)


@settings(max_examples=15, deadline=None)  # Hydra composes for each
@given(st.floats(1e-6, 1e-1), st.floats(1e-6, 1e-1))
def test_a_value_comes_back_from_its_override_as_it_was(low, high):
    if low >= high:
        low, high = high, low * 2
    space = read_space([f"{RATE}=interval({low!r},{high!r})"], PACKAGED)
    first, last = space.check(PACKAGED)
    assert (first.training.learning_rate, last.training.learning_rate) == (low, high)


def test_what_is_not_searched_holds_for_every_trial():
    space = read_space(
        ["training=lora", f"{RATE}=interval(1e-5,1e-3)", "data.source=a,b.csv", f"{BATCH}=8,16"], PACKAGED
    )
    assert space.fixed == ("training=lora", "data.source=a,b.csv")
    assert space.size == math.inf
    recipes = space.check(PACKAGED)
    assert {recipe.training.method for recipe in recipes} == {"lora"}
    assert {recipe.training.batch_size for recipe in recipes} == {8, 16}


def test_a_base_whose_path_has_a_comma_is_one_base(tmp_path):
    (tmp_path / "a,b").mkdir()
    space = read_space(["model.name=a,b", f"{BATCH}=8,16"], tmp_path / "configs")
    assert space.fixed == ("model.name=a,b",)


WRONG = [
    ("nothing searched", ("training=lora",), ("nothing to search", "interval(")),
    ("unknown field", ("training.learnin_rate=interval(1,2)",), ("did you mean 'training.learning_rate'",)),
    ("unknown option", ("training=full,lroa",), ("lroa", "did you mean 'lora'")),
    ("unknown base", ("model.name=minilm,minilmm",), ("minilmm", "did you mean 'minilm'")),
    ("unknown word", ("training.schedule=linear,cosin",), ("training.schedule", "'cosin'")),
    ("half a function", (f"{RATE}=interval(1e-5",), (RATE, "can't be read", "interval(LOW,HIGH)")),
    ("no such function", (f"{RATE}=between(1,2)",), ("Unknown function 'between'",)),
    ("interval upside down", (f"{RATE}=interval(1e-3,1e-5)",), (RATE, "is empty")),
    ("empty range", (f"{BATCH}=range(4,4)",), (BATCH, "range is empty")),
    ("out of bounds", (f"{RATE}=interval(-1,1)",), (RATE, "greater than 0")),
    ("log scale from zero", ("training.weight_decay=tag(log,interval(0,1))",), ("log scale has no zero",)),
    ("part of a row", (f"{BATCH}=interval(1.5,4)",), (BATCH, "whole numbers")),
    ("numbers for words", ("training.schedule=interval(1,2)",), ("takes words", "choice(A,B)")),
    ("data field", ("data.test_share=0.1,0.2",), ("data.test_share", "model and training alone")),
    ("data group", ("data=default,masked",), ("data", "model and training alone")),
    ("source", ("data.source=choice(a.csv,b.csv)",), ("data.source", "model and training alone")),
    ("seed of the splits", ("seed=1,2",), ("seed", "model and training alone")),
    ("metric as a field", ("evaluation.primary_metric=choice(accuracy,f1_macro)",), ("model and training alone",)),
    ("field without effect", ("training.keep_checkpoints=1,2",), ("no weight depends on it",)),
    ("twice", (f"{BATCH}=1,2", f"{BATCH}=3,4"), (BATCH, "searched twice")),
    ("glob of a field", ("training.padding=glob(*)",), ("glob is for groups",)),
    ("unknown metric", (f"{BATCH}=1,2", "--metric", "f2"), ("'f2'", "balanced_accuracy")),
    ("no trials", (f"{BATCH}=1,2", "--trials", "0"), ("--trials",)),
    ("name of a packaged option", (f"{BATCH}=1,2", "--name", "lora"), ("--name lora", "choose another")),
    ("name with a slash", (f"{BATCH}=1,2", "--name", "a/b"), ("--name a/b", "letters")),
]  # fmt: skip


@pytest.mark.parametrize(("words", "says"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_a_wrong_use_gives_one_line_and_changes_nothing(cli, tmp_path, tiny_base, words, says):
    project = tmp_path / "shop"
    assert cli("init", "shop", cwd=tmp_path).code == 0
    configure(project, tiny_base)
    before = sorted(path for path in project.rglob("*") if ".git" not in path.parts)
    said = cli("sweep", *words, cwd=project)
    assert said.code == 2, said.err
    assert all(each in said.complaint for each in says), said.complaint
    assert sorted(path for path in project.rglob("*") if ".git" not in path.parts) == before


def test_without_its_extra_the_line_says_what_to_install(cli, tmp_path, monkeypatch):
    import sys

    assert cli("init", "shop", cwd=tmp_path).code == 0
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = cli("sweep", f"{BATCH}=8,16", cwd=tmp_path / "shop")
    assert said.code == 2
    assert "pip install 'tunewright[sweep]'" in said.complaint
