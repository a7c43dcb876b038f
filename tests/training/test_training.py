"""Training end to end on a tiny encoder: it learns, records, stops, and says clearly when it can't."""

from __future__ import annotations

import numpy as np
import pytest

from tunewright.config.schema import ModelConfig
from tunewright.models.catalogue import resolve
from tunewright.models.classifier import Classifier
from tunewright.support.errors import InputError, TunewrightError
from tunewright.training.classification import train


@pytest.fixture
def base(tiny_folder, tmp_path):
    return resolve(ModelConfig(name=str(tiny_folder)), base_dir=tmp_path)


def accuracy(candidate, dataset):
    rows = dataset.examples("test")
    return float(np.mean(candidate.classifier.logits(rows.texts).argmax(axis=1) == np.array(rows.labels)))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_learns_and_says_what_it_did(method, make_dataset, tiny_recipe, base, tmp_path, recorder, capsys):
    dataset = make_dataset()
    recipe = tiny_recipe(method=method, learning_rate=5e-3 if method == "full" else 1e-2, epochs=12)
    candidate = train(dataset, base, recipe, workspace=tmp_path / "work", recorder=recorder)
    assert accuracy(candidate, dataset) >= 0.95
    assert not candidate.classifier.model.training
    assert {str(parameter.dtype) for parameter in candidate.classifier.model.parameters()} == {
        "torch.float32"
    }
    figures = candidate.figures
    assert (figures.steps, figures.samples, figures.resumed_from_step) == (120, 12 * 160, 0)
    assert 0 < figures.useful_tokens < figures.padded_tokens
    assert figures.padding_share < 0.2
    names = {name for name, _ in recorder.points}
    assert {"train/loss", "train/learning_rate", "train/grad_norm"} <= names
    for kind in ("f1", "precision", "recall"):
        assert {f"validation/{kind}/ham", f"validation/{kind}/spam", f"validation/{kind}_macro"} <= names, (
            kind
        )
    assert {"validation/accuracy", "validation/balanced_accuracy", "validation/loss"} <= names
    assert sorted({step for name, step in recorder.points if name == "train/loss"}) == list(range(5, 121, 5))
    assert [entry["epoch"] for entry in candidate.history] == list(range(1, 13))
    shown = capsys.readouterr().err
    assert "training on cpu, fp32, 1 thread" in shown
    assert "epoch 12: accuracy" in shown


def test_the_classifier_computes_as_its_saved_copy_does(make_dataset, tiny_recipe, base, tmp_path, recorder):
    dataset = make_dataset()
    recipe = tiny_recipe(precision="bf16", epochs=1)
    candidate = train(dataset, base, recipe, workspace=tmp_path / "work", recorder=recorder)
    candidate.classifier.save(tmp_path / "saved")
    texts = dataset.examples("test").texts
    loaded = Classifier.load(tmp_path / "saved")
    assert np.array_equal(candidate.classifier.logits(texts), loaded.logits(texts)), (
        "no autocast is left behind"
    )


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("batching", ["random", "length_grouped"])
def test_one_batch_of_32_equals_four_of_8(
    make_dataset, tiny_recipe, base, tmp_path, recorder, weights, batching
):
    # 150 rows: four whole windows, then one of 22 rows whose last batch holds 6. No dropout: masks depend on shape.
    dataset = make_dataset(train=150, shares={"ham": 0.7, "spam": 0.2, "bill": 0.1})
    settings = {"epochs": 2, "learning_rate": 1e-3, "class_weights": weights, "batching": batching}
    without_dropout(base.folder)

    def fit(name, **batches):
        recipe = tiny_recipe(**settings, **batches)
        candidate = train(dataset, base, recipe, workspace=tmp_path / name, recorder=recorder)
        return {
            name: value.detach() for name, value in candidate.classifier.model.named_parameters()
        }, candidate

    one, candidate = fit("one", batch_size=32)
    four, _ = fit("four", batch_size=8, gradient_accumulation_steps=4)
    assert candidate.figures.steps == 10
    assert (candidate.figures.class_weights is None) == (weights == "none")
    worst = max(float((one[name] - four[name]).abs().max()) for name in one)
    assert worst < 1e-5


def without_dropout(folder):
    """Turn the tiny encoder's dropout off, for good."""
    import json

    path = folder / "config.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}))


def test_early_stopping_waits_for_the_metric_to_rise(make_dataset, tiny_recipe, base, tmp_path, recorder):
    dataset = make_dataset()
    recipe = tiny_recipe(epochs=30, early_stopping_patience=2)
    candidate = train(dataset, base, recipe, workspace=tmp_path / "work", recorder=recorder)
    assert candidate.figures.stopped_early
    assert candidate.figures.steps < 300
    last = candidate.history[-1]
    assert candidate.figures.best_step == last["step"], "the last epoch is as good as any before it"


def test_a_clearly_better_epoch_is_kept_over_a_later_one():
    from tunewright.training.journal import Journal

    journal, error = Journal(), (0.95 * 0.05 / 400) ** 0.5
    kept = [
        journal.judge(step, score, margin=error)
        for step, score in enumerate((0.80, 0.95, 0.945, 0.70), start=1)
    ]
    assert kept == [True, True, True, False]
    assert (journal.best_step, journal.epochs_without_gain) == (3, 2)


def test_part_of_an_epoch_is_judged_too(make_dataset, tiny_recipe, base, tmp_path, recorder):
    candidate = train(
        make_dataset(), base, tiny_recipe(epochs=0.35), workspace=tmp_path / "work", recorder=recorder
    )
    assert candidate.figures.steps == 4
    assert len(candidate.history) == 1
    assert ("train/loss", 4) in recorder.points, "fewer steps than logging_steps are logged all the same"


def test_a_diverging_loss_stops_with_the_step_and_advice(make_dataset, tiny_recipe, base, tmp_path, recorder):
    recipe = tiny_recipe(learning_rate=1e30, warmup_share=0)
    with pytest.raises(TunewrightError) as caught:
        train(make_dataset(), base, recipe, workspace=tmp_path / "work", recorder=recorder)
    line = str(caught.value)
    assert "not a number at step" in line
    assert "lower training.learning_rate (now 1e+30)" in line
    assert "warmup_share" in line


@pytest.mark.parametrize(
    ("settings", "words"), [({"device": "cuda"}, "no usable cuda"), ({"precision": "fp16"}, "fp16 needs")]
)
def test_what_the_machine_lacks_is_refused(
    make_dataset, tiny_recipe, base, tmp_path, recorder, settings, words
):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=words):
        train(make_dataset(), base, tiny_recipe(**settings), workspace=tmp_path / "work", recorder=recorder)


def test_labels_with_odd_names_are_recorded_under_names_that_mlflow_takes():
    from tunewright.training.journal import metric_names

    names = metric_names("validation/f1", ["card/lost", "card lost?", "card lost!", "état"])
    assert list(names) == ["card/lost", "card lost?", "card lost!", "état"]
    assert len(set(names.values())) == 4
    mlflow_validation = pytest.importorskip("mlflow.utils.validation")
    for name in names.values():
        mlflow_validation._validate_metric_name(name)
