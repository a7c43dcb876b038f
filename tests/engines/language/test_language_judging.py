"""Copies that are another model than the one certified are refused, whatever engine made them."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tunewright.engines.children import LanguageMeasured, LanguageMeasureJob, run_child
from tunewright.engines.conversion import convert
from tunewright.engines.copies import read_manifest, seal
from tunewright.engines.interface import Form
from tunewright.engines.language_judging import judge_language
from tunewright.engines.language_measuring import measure_language_model
from tunewright.engines.language_side import FOLDER, LanguageSide
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import TunewrightError

FORMS = [
    "transformers:fp32",
    "ctranslate2:fp32",
    *(pytest.param(form, marks=pytest.mark.slow) for form in ("openvino:fp32", "onnx:fp32", "remote:server")),
]
SERVER = Path(__file__).with_name("completions_server.py")


@pytest.fixture
def server(monkeypatch):
    """Name a server that the remote engine starts on each copy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("TUNEWRIGHT_REMOTE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("TUNEWRIGHT_REMOTE_COMMAND", f"{sys.executable} {SERVER} {{folder}} {port}")


@pytest.fixture(scope="module")
def judged(tuned):
    """Let a copy answer the certificate's probes and judge it."""

    def judge(folder, *, subject=tuned):
        job = job_of(folder, subject)
        return judge_language(
            subject.certificate, read_manifest(folder).form.precision, measure_language_model(job)
        )

    return judge


def job_of(folder, subject, batches=()):
    return LanguageMeasureJob(
        folder=folder,
        threads=1,
        certificate=subject.certificate,
        prompts=tuple(subject.prompts),
        new_tokens=8,
        batches=batches,
        seconds=0.05,
    )


def changed(folder, target, change):
    """Copy a copy, change its language side, and seal it anew, as if it had been converted from that."""
    shutil.copytree(folder, target)
    change(target / FOLDER)
    manifest = read_manifest(target)
    facts = manifest.language
    facts = facts.model_copy(update={"tokenizer_digest": digest_file(target / FOLDER / "tokenizer.json")})
    template = (target / FOLDER / "chat_template.jinja").read_text()
    facts = facts.model_copy(update={"template_digest": digest_json(template)})
    seal(target, manifest.model_copy(update={"language": facts}))
    return target


def swap_words(side):
    """Give two words each other's ids: another tokenizer of the same size."""
    path = side / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["e"], vocabulary["t"] = vocabulary["t"], vocabulary["e"]
    path.write_text(json.dumps(tokenizer))


def change_template(side):
    path = side / "chat_template.jinja"
    path.write_text(path.read_text().replace("{{ m.role }}: ", "{{ m.role }}:"))


@pytest.mark.parametrize("form", FORMS)
def test_broken_conversions_are_refused(judged, tuned, subject, wide_stories, cache, tmp_path, server, form):
    good = convert(tuned.source, Form.parse(form), cache, language=tuned.facts)
    found = judged(good)
    assert found.passes, found.refusals
    assert (found.by, found.kept_share) == ("given tokens", 1.0)
    assert found.max_difference < 1e-4

    wrong = judged(changed(good, tmp_path / "tokenizer", swap_words))
    assert "token ids of probe 1 differ" in wrong.refusals[0]
    wrong = judged(changed(good, tmp_path / "template", change_template))
    assert wrong.refusals[0] == "the prompt of probe 1 is rendered differently"

    base = subject(wide_stories)
    dropped = judged(convert(base.source, Form.parse(form), cache, language=base.facts))
    assert "log-probabilities differ by" in dropped.refusals[0]
    # A server may hold weights in fewer bits, so that more tokens pass as ties.
    assert form == "remote:server" or "of the certified tokens" in dropped.refusals[1]


@pytest.mark.parametrize(
    "form",
    [
        "ctranslate2:int8",
        *(
            pytest.param(form, marks=pytest.mark.slow)
            for form in ("transformers:bf16", "openvino:int8", "onnx:int8")
        ),
    ],
)
def test_fewer_bits_pass_and_another_model_does_not(judged, real_tuned, subject, real, cache, form):
    found = judged(
        convert(real_tuned.source, Form.parse(form), cache, language=real_tuned.facts), subject=real_tuned
    )
    assert found.passes, found.refusals
    assert 1e-4 < found.error_share < 0.12
    base = subject(real)
    found = judged(convert(base.source, Form.parse(form), cache, language=base.facts), subject=real_tuned)
    assert "of their spread" in found.refusals[0]


@pytest.mark.slow
def test_four_bits_of_a_model_that_is_too_small_are_refused(judged, real_tuned, cache):
    copy = convert(real_tuned.source, Form.parse("openvino:int4"), cache, language=real_tuned.facts)
    found = judged(copy, subject=real_tuned)
    assert "of their spread" in found.refusals[0]


def test_a_child_measures_speed_and_memory(tuned, cache):
    folder = convert(tuned.source, Form.parse("openvino:fp32"), cache, language=tuned.facts)
    job = job_of(folder, tuned, batches=(1, 4))
    measured = run_child("measure-language", job, what="openvino:fp32", answer=LanguageMeasured)
    assert judge_language(tuned.certificate, "fp32", measured).passes
    one, four = measured.timings
    assert (one.batch, four.batch) == (1, 4)
    assert one.output_tokens % 8 == 0
    assert one.prompt_tokens == one.output_tokens // 8 * len(tuned.prompts[0])
    assert one.first_token_seconds > 0
    assert measured.memory_mib > 50


def test_an_engine_that_scores_nothing_is_held_by_what_it_writes(tuned, cache):
    folder = convert(tuned.source, Form.parse("transformers:fp32"), cache, language=tuned.facts)
    measured = measure_language_model(job_of(folder, tuned))
    mute = measured.model_copy(update={"given_alone": None, "given_together": None})
    found = judge_language(tuned.certificate, "fp32", mute)
    assert found.passes, found.refusals
    assert found.by == "written tokens"
    said = mute.alone[0]
    other = said.model_copy(
        update={
            "ids": (said.ids[0] + 1, *said.ids[1:]),
            "log_probabilities": (-0.01, *said.log_probabilities[1:]),
        }
    )
    found = judge_language(
        tuned.certificate, "fp32", mute.model_copy(update={"alone": (other, *mute.alone[1:])})
    )
    assert not found.passes


def test_a_copy_whose_files_were_changed_is_not_opened(tuned, cache, tmp_path):
    good = convert(tuned.source, Form.parse("transformers:fp32"), cache, language=tuned.facts)
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    change_template(copy / FOLDER)
    with pytest.raises(TunewrightError, match="has changed since it was certified"):
        measure_language_model(job_of(copy, tuned))
    with pytest.raises(TunewrightError, match="its chat template is not the one"):
        LanguageSide.open(copy, tuned.facts)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "gemma2", "query_pre_attn_scalar": 24, "head_dim": 16}, "query_pre_attn_scalar"),
        ({"model_type": "gemma3_text"}, "can't read gemma3_text rightly"),
        ({"model_type": "phi3"}, "can't read phi3"),
        ({"model_type": "gpt_neox"}, "can't read gpt_neox"),
        ({"model_type": "llama", "rope_scaling": {"rope_type": "yarn"}}, "rotary embeddings of type yarn"),
        (
            {
                "model_type": "llama",
                "rope_scaling": {"rope_type": "llama3", "original_max_position_embeddings": 4096},
            },
            "takes an original context of 8192",
        ),
    ],
)
def test_ctranslate2_names_what_it_gets_wrong_and_another_engine(tuned, config, reason):
    from tunewright.engines.runtimes.ctranslate2 import CTranslate2Engine

    why = CTranslate2Engine().refusal(replace(tuned.source, config=config), "fp32")
    assert reason in why
    assert "; use " in why


def test_windows_and_head_sizes_are_refused_where_they_would_be_wrong(subject, tiny, stories):
    from tunewright.engines.runtimes.ctranslate2 import CTranslate2Engine
    from tunewright.engines.runtimes.onnx import ONNXEngine
    from tunewright.engines.runtimes.openvino import OpenVINOEngine

    windowed = subject(tiny("mistral"))
    for engine in (OpenVINOEngine(), ONNXEngine(), CTranslate2Engine()):
        assert "see the last 8 tokens only" in engine.refusal(windowed.source, "fp32")
    wide = replace(windowed.source, config={**windowed.source.config, "sliding_window": 4096})
    assert OpenVINOEngine().refusal(wide, "fp32") == ""
    assert "multiple of 16 numbers, this model's have 8" in ONNXEngine().refusal(
        subject(stories).source, "fp32"
    )
