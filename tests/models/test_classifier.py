"""A classifier answers each text by itself, and answers the same after it was saved and opened."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.config.data import Cleaning
from tunewright.config.schema import Lora, ModelConfig
from tunewright.models.adapters import add_lora
from tunewright.models.catalogue import resolve
from tunewright.models.classifier import Classifier
from tunewright.models.heads import output_layer
from tunewright.models.loading import load_encoder
from tunewright.models.tokenizers import load_tokenizer
from tunewright.support.errors import InputError, TunewrightError

LABELS = ("ham", "spam")
CLEANING = Cleaning().model_dump()
RECIPES = {"minilm": "minilm", "decoder": "stories260K-hf"}


@pytest.fixture(scope="session", params=sorted(RECIPES))
def classifier(request, shared):
    """A real encoder, and a real decoder of which the last token decides, with heads that react strongly."""
    config = ModelConfig(name=RECIPES[request.param])
    base = resolve(config, base_dir=shared / "models")
    model = load_encoder(base, LABELS, config, seed=0)
    head = model.classifier if hasattr(model, "classifier") else model.score
    head.weight.data.mul_(20)
    return Classifier(load_tokenizer(base, config), model, LABELS, 128, CLEANING, base=base)


text_lists = st.lists(st.text(max_size=80), min_size=1, max_size=12)
fast = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fast
@given(texts=text_lists, batch_size=st.integers(1, 12), shuffle=st.randoms(use_true_random=False))
def test_an_answer_depends_on_neither_batch_size_nor_order_nor_neighbours(
    classifier, texts, batch_size, shuffle
):
    alone = np.concatenate([classifier.logits([text]) for text in texts])
    assert alone.dtype == np.float32
    assert alone.shape == (len(texts), 2)
    np.testing.assert_allclose(classifier.logits(texts, batch_size=batch_size), alone, atol=1e-4)
    order = list(range(len(texts)))
    shuffle.shuffle(order)
    np.testing.assert_allclose(classifier.logits([texts[at] for at in order]), alone[order], atol=1e-4)


@pytest.mark.parametrize("adapted", [False, True])
def test_features_are_what_the_last_layer_turns_into_logits(classifier, messages, adapted):
    texts = [text for _, text in messages[:20]]
    asked = classifier
    if adapted:
        model = add_lora(copy.deepcopy(classifier.model), Lora(), seed=1)
        asked = Classifier(classifier.tokenizer, model, LABELS, 128, CLEANING)
    plain = asked.model.get_base_model() if adapted else asked.model
    before = asked.logits(texts)
    features = asked.features(texts)
    _, layer = output_layer(plain, len(LABELS))
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()
    np.testing.assert_allclose(features @ layer.weight.detach().numpy().T + bias, before, atol=1e-3)
    np.testing.assert_array_equal(asked.logits(texts), before)


def test_real_messages_move_by_rounding_only(classifier, messages):
    texts = [text for _, text in messages[:60]]
    one_by_one = classifier.logits(texts, batch_size=1)
    assert np.ptp(one_by_one) > 0.5
    for batch_size in (7, 32, 60):
        np.testing.assert_allclose(classifier.logits(texts, batch_size=batch_size), one_by_one, atol=2e-5)


def test_reduced_precision_of_the_process_never_reaches_an_answer(classifier):
    import torch

    texts = ["one text", "another text that is longer than the first"]
    expected = classifier.logits(texts)
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_allclose(classifier.logits(texts), expected, atol=1e-5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_model_in_training_answers_without_dropout_and_goes_on_training(classifier):
    expected = classifier.logits(["some words"])
    classifier.model.train()
    try:
        assert np.array_equal(classifier.logits(["some words"]), expected)
        assert classifier.model.training
    finally:
        classifier.model.eval()


def test_texts_are_cleaned_as_in_training(classifier):
    dirty, clean = "fish &amp; chips \n\n now", "fish & chips now"
    assert classifier.encode([dirty]) == classifier.encode([clean])
    raw = Classifier(classifier.tokenizer, classifier.model, LABELS, 128, dict.fromkeys(CLEANING, False))
    raw.cleaning |= {"mentions": "keep", "urls": "keep"}
    assert raw.encode([dirty]) != raw.encode([clean])


def test_long_and_empty_texts_and_none_at_all(classifier):
    assert [len(row) for row in classifier.encode(["word " * 1000])] == [128]
    assert all(classifier.encode([""]))
    assert np.isfinite(classifier.logits([""])).all()
    assert classifier.logits([]).shape == (0, 2)
    assert classifier.predict([]) == []


def test_what_is_not_text_is_named_by_row(classifier):
    with pytest.raises(InputError, match="row 2: is float, not text"):
        classifier.logits(["text", float("nan")])


def test_probabilities_add_up_and_the_label_is_the_likeliest(classifier, messages):
    for answer in classifier.predict([text for _, text in messages[:20]]):
        assert tuple(answer.probabilities) == LABELS
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.probability == answer.probabilities[answer.label] == max(answer.probabilities.values())


def test_a_saved_classifier_opens_the_same_here_and_with_plain_transformers(classifier, messages, tmp_path):
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path / "saved"
    classifier.save(folder)
    texts = [text for _, text in messages[:300]]
    opened = Classifier.load(folder)
    assert opened.encode(texts) == classifier.encode(texts)
    assert np.array_equal(opened.logits(texts[:50]), classifier.logits(texts[:50]))
    assert opened.digest() == classifier.digest()
    assert (opened.label_names, opened.max_length, opened.cleaning) == (LABELS, 128, CLEANING)
    assert opened.base_identity == classifier.base_identity
    assert opened.size_bytes == classifier.size_bytes
    assert not opened.is_adapter
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    assert plain.config.id2label == dict(enumerate(LABELS))
    assert plain.config.pad_token_id == classifier.tokenizer.pad_token_id


def test_no_path_of_this_machine_is_saved(classifier, tmp_path):
    classifier.save(tmp_path / "saved")
    for path in (tmp_path / "saved").glob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_saving_replaces_a_classifier_and_nothing_else(classifier, tmp_path):
    folder = tmp_path / "saved"
    classifier.save(folder)
    classifier.save(folder)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and is no saved classifier"):
        classifier.save(theirs)
    assert (theirs / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: (folder / "classifier.json").unlink(), r"classifier\.json: no such file"),
        (lambda folder: (folder / "classifier.json").write_text("{"), "is not valid JSON"),
        (lambda folder: (folder / "classifier.json").write_text('{"kind": "full"}'), "field label_names"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "can't be opened"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "is truncated or damaged"),
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    ],
)
def test_a_damaged_saved_classifier_gives_one_line(make_base, tmp_path, damage, line):
    base, config = make_base("bert")
    tiny = Classifier(
        load_tokenizer(base, config), load_encoder(base, LABELS, config, seed=0), LABELS, 32, CLEANING
    )
    tiny.save(tmp_path / "saved")
    for name in ("vocab.txt",):
        (tmp_path / "saved" / name).unlink(missing_ok=True)
    damage(tmp_path / "saved")
    with pytest.raises(Exception, match=line) as caught:
        Classifier.load(tmp_path / "saved")
    assert "\n" not in str(caught.value)
    assert hasattr(caught.value, "exit_code")


def test_a_full_disk_gives_one_line_and_leaves_nothing_behind(make_base, tmp_path):
    import resource
    import signal

    base, config = make_base("bert")
    tiny = Classifier(
        load_tokenizer(base, config), load_encoder(base, LABELS, config, seed=0), LABELS, 32, CLEANING
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(TunewrightError, match="can't be written"):
            tiny.save(tmp_path / "saved")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_labels_keep_their_order_beyond_ten(make_base, tmp_path):
    """Sorted as text, class 10 would come before class 2."""
    base, config = make_base("distilbert")
    names = tuple(f"intent {chr(122 - number)}" for number in range(15))
    many = Classifier(
        load_tokenizer(base, config), load_encoder(base, names, config, seed=0), names, 32, CLEANING
    )
    many.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert [saved["id2label"][str(number)] for number in range(15)] == list(names)
    assert Classifier.load(tmp_path / "saved").label_names == names


def test_importing_the_room_is_cheap():
    code = (
        "import sys, tunewright.models.classifier, tunewright.models.catalogue, tunewright.models.frozen, "
        "tunewright.models.adapters\n"
        "print({'torch', 'transformers', 'peft', 'sklearn', 'numpy', 'pandas'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
