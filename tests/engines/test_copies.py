"""Converted copies: they answer as the model does on every engine, and whatever is wrong with one is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from forms import FORMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.engines.batching import batches, rounded
from tunewright.engines.copies import open_classifier, read_manifest, seal
from tunewright.engines.interface import Form
from tunewright.engines.judging import judge
from tunewright.engines.text_side import TOKENIZER, TextSide
from tunewright.engines.widths import beside_every_width
from tunewright.support.errors import InputError, TunewrightError

ONE_EACH = ("transformers:fp32", "openvino:fp32", "ctranslate2:fp32", "onnx:fp32")


def judged(made, folder, tmp_path, *, max_accuracy_loss: float = 0.02):
    """Let a copy answer, and hold it against the model."""
    from tunewright.engines.child import measure
    from tunewright.engines.children import MeasureJob

    texts = made.texts[:200]
    reference = made.classifier.logits(texts)
    job = MeasureJob(
        folder=folder,
        threads=2,
        probes=tuple(probe.text for probe in made.certificate.probes),
        texts=texts,
        seconds=0.05,
        logits=tmp_path / "logits.npz",
    )
    measured = measure(job)
    with np.load(job.logits) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    truth = reference.argmax(axis=1).tolist()
    precision = read_manifest(folder).form.precision
    return judge(
        made.certificate, precision, measured, found, reference, truth, max_accuracy_loss=max_accuracy_loss
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_answers_as_the_model_does(encoder, form, tmp_path):
    verdict = judged(encoder, encoder.convert(form), tmp_path)

    assert verdict.refusals == ()
    assert verdict.agreement >= 0.99
    if form.endswith(":fp32"):
        assert verdict.max_difference < 1e-3
        assert verdict.agreement == 1.0
    else:
        assert verdict.error_share > 0  # It really is another precision.


FIRST_AT_ONCE = """
import faulthandler, sys, threading
faulthandler.dump_traceback_later(60, exit=True)
sys.setswitchinterval(1e-6)
from pathlib import Path
import numpy as np
from tunewright.engines.copies import open_classifier
model = open_classifier(Path(sys.argv[1]), threads=4)
gate = threading.Barrier(4)
def ask():
    gate.wait()
    model.scorer.score(np.ones((2, 9), np.int64), np.ones((2, 9), np.int64))
threads = [threading.Thread(target=ask) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
"""


def test_the_first_batches_may_come_at_once(encoder):
    """OpenVINO's binding hung in a third of such processes: two threads reached for numpy for the first time."""
    command = [sys.executable, "-c", FIRST_AT_ONCE, str(encoder.convert("openvino:fp32"))]
    for _ in range(6):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["transformers:fp32", "openvino:fp32", "onnx:fp32"])
def test_bert_runs_where_it_can_be_read(make_engine_model, form, tmp_path):
    made = make_engine_model("bert")
    assert judged(made, made.convert(form), tmp_path).passes


def test_an_encoder_that_a_converter_cannot_read_is_refused_with_another_engine(make_engine_model):
    with pytest.raises(InputError, match=r"can't read bert encoders; use openvino"):
        make_engine_model("bert").convert("ctranslate2:int8")


@pytest.mark.parametrize("form", ["openvino:fp32", "openvino:int8"])
def test_a_kernel_that_is_wrong_at_one_shape_is_found(encoder, form, tmp_path, monkeypatch):
    """As OpenVINO's are with AMX where a batch is as wide as a head; no probe or test row comes upon this one."""
    from tunewright.engines.runtimes.openvino.encoder import OpenVINOScorer

    right, width = OpenVINOScorer.score, encoder.classifier.max_length

    def score(self, ids, mask):
        logits, features = right(self, ids, mask)
        if ids.shape == (3, width):
            short = mask.sum(axis=1) < width / 2
            logits[short] = logits[short][:, ::-1]
        return logits, features

    monkeypatch.setattr(OpenVINOScorer, "score", score)
    (refusal,) = judged(encoder, encoder.convert(form), tmp_path).refusals
    assert "depends on its neighbours" in refusal


@pytest.mark.parametrize("form", ONE_EACH)
def test_a_dropped_merge_is_refused(encoder, form, tmp_path):
    """The base without the adapter is converted, as a script that forgets to merge does."""
    from tunewright.engines.conversion import classifier_source
    from tunewright.models.classifier import Classifier

    classifier = encoder.classifier
    with classifier.model.disable_adapter():
        base = Classifier(
            classifier.tokenizer,
            classifier.merged().model,
            classifier.label_names,
            classifier.max_length,
            classifier.cleaning,
        )
        for name, weight in base.model.named_parameters():
            weight.data = _before_the_adapter(classifier.model, name).clone()
    source = replace(classifier_source(base, tmp_path / "base"), digest=encoder.source.digest)
    folder = encoder.convert(form, source=source, cache=tmp_path / "cache")

    verdict = judged(encoder, folder, tmp_path)

    assert any("logits differ" in why for why in verdict.refusals)


@pytest.mark.parametrize("form", ONE_EACH)
def test_another_tokenizer_is_refused(encoder, form, tmp_path):
    folder = tampered(encoder.convert(form), tmp_path)
    path = folder / TOKENIZER
    settings_ = json.loads(path.read_text())
    vocabulary = settings_["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.get)[-200:]
    for word, other in zip(words, reversed([vocabulary[each] for each in words]), strict=True):
        vocabulary[word] = other
    path.unlink()
    path.write_text(json.dumps(settings_))
    seal(folder, read_manifest(folder))

    verdict = judged(encoder, folder, tmp_path)

    assert any("token ids of probe" in why for why in verdict.refusals)


@pytest.mark.parametrize("form", ONE_EACH)
def test_another_cleaning_is_refused(encoder, form, tmp_path):
    folder = tampered(encoder.convert(form), tmp_path)
    manifest = read_manifest(folder)
    facts = manifest.text.model_copy(update={"cleaning": {**manifest.text.cleaning, "lowercase": True}})
    facts = facts.model_copy(update={"cleaning": {**facts.cleaning, "urls": "drop", "whitespace": False}})
    seal(folder, manifest.model_copy(update={"text": facts}))
    made = dataclasses.replace(encoder, certificate=certificate_with_spaces(encoder))

    verdict = judged(made, folder, tmp_path)

    assert any("cleaned differently" in why for why in verdict.refusals)


def certificate_with_spaces(made):
    """A certificate whose probes have something to clean."""
    from tunewright.registry.certificate import record

    texts = ["  where   is\tmy parcel, https://shop.example/x  ", *made.texts[:3]]
    return record(made.classifier, texts, bound=1e-3)


def tampered(folder, tmp_path):
    """Copy a copy, to be changed."""
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    return other


def _before_the_adapter(model, name: str):
    """Return a weight of the plain model as it was before the adapter was trained."""
    known = dict(model.named_parameters())
    stem, _, leaf = f"base_model.model.{name}".rpartition(".")
    places = (f"{stem}.{leaf}", f"{stem}.base_layer.{leaf}", f"{stem}.original_module.{leaf}")
    return next(known[place].data for place in places if place in known)


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_copy_whose_files_are_not_those_certified_is_not_opened(encoder, tmp_path, change):
    folder = tampered(encoder.convert("openvino:fp32"), tmp_path)
    weights = folder / "model.bin"
    if change == "gone":
        weights.unlink()
    else:
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.unlink()
        weights.write_bytes(data)

    with pytest.raises(TunewrightError, match=r"model\.bin.*(has changed|is missing).*tunewright optimize"):
        open_classifier(folder, threads=1)


def test_the_same_model_is_converted_once(encoder):
    first = encoder.convert("openvino:int8")
    before = (first / "model.bin").stat()
    assert encoder.convert("openvino:int8") == first
    assert (first / "model.bin").stat() == before
    # The same weights, computed otherwise, take no second room.
    assert (encoder.convert("openvino:int8-bf16") / "model.bin").stat().st_ino == before.st_ino


def test_another_model_is_never_taken_for_this_one(encoder):
    other = encoder.convert("openvino:fp32", source=replace(encoder.source, digest="0" * 64))
    assert other != encoder.convert("openvino:fp32")


def test_embeddings_are_what_the_last_layer_sees(encoder):
    texts = list(encoder.texts[:7])
    expected = encoder.classifier.features(texts)
    for form in ONE_EACH:
        model = open_classifier(encoder.convert(form), threads=1)
        assert np.abs(model.embed(texts) - expected).max() < 1e-3, form
        model.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(texts=st.lists(st.text(max_size=80), max_size=6))
def test_the_tokenizer_of_a_copy_reads_any_text_as_the_model_does(encoder, texts):
    side = TextSide.open(encoder.source.folder, encoder.facts)
    assert side.encode(texts) == encoder.classifier.encode(texts)


def test_something_that_is_no_text_is_named(encoder):
    with pytest.raises(InputError, match="row 2: is int, not text"):
        TextSide.open(encoder.source.folder, encoder.facts).encode(["a", 5])


@given(
    lengths=st.lists(st.integers(0, 300), max_size=200),
    budget=st.integers(1, 2000),
    rows=st.integers(1, 70),
)
def test_batches_keep_to_the_budget_and_lose_nothing(lengths, budget, rows):
    found = list(batches(lengths, token_budget=budget, max_rows=rows))

    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert len(batch) <= rows
    flat = [lengths[row] for batch in found for row in batch]
    assert flat == sorted(flat, reverse=True)


@given(length=st.integers(0, 5000), limit=st.integers(1, 5000))
def test_a_rounded_width_holds_its_text_within_what_the_model_reads(length, limit):
    width = rounded(length, limit)
    assert length <= width <= max(length, limit)
    assert width - length < max(1, min(16, length / 4 + 1))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=9),
    limit=st.integers(1, 600),
)
def test_texts_are_put_beside_one_of_every_width(lengths, limit):
    ids = [list(range(min(length, limit))) for length in lengths]
    found = list(beside_every_width(ids, limit))

    assert [len(wide) for _, wide in found] == sorted(
        {rounded(at, limit) for at in range(2, min(limit, 512) + 1)}
    )
    for rows, wide in found:
        assert all(0 < len(row) < len(wide) for row in rows)


def test_rounded_widths_are_few():
    assert len({rounded(length, 512) for length in range(1, 513)}) < 50


@pytest.mark.parametrize("word", ["openvino", ":int8", "openvino:", ""])
def test_a_form_is_an_engine_and_a_precision(word):
    with pytest.raises(InputError, match="write openvino:int8"):
        Form.parse(word)
