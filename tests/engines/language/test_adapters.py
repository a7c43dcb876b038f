"""Several adapters on one base: each row is answered as by that adapter's merged model, whoever is beside."""

from __future__ import annotations

import json
import shutil

import pytest

from language_subjects import adapted, make_subject
from tunewright.engines.adapters import SavedAdapter, why_apart
from tunewright.engines.copies import bring_adapter, open_generator, read_manifest, verify
from tunewright.engines.interface import Adapting, Request, Sampling
from tunewright.support.errors import InputError, TunewrightError

STRENGTHS = {"weak": 0.1, "strong": 0.3, "odd": 0.25}


@pytest.fixture(scope="module")
def subjects(real, tmp_path_factory):
    """Three adapters of the trained model."""
    return {
        name: make_subject(real, tmp_path_factory.mktemp(name), adapter=strength, seed=number)
        for number, (name, strength) in enumerate(STRENGTHS.items())
    }


@pytest.fixture(scope="module")
def saved(subjects, real, tmp_path_factory):
    """Where they were saved, each beside the base that it stands on."""
    from tunewright.models.language.model import LanguageModel

    place = tmp_path_factory.mktemp("saved")
    first = next(iter(subjects.values())).model
    LanguageModel(first.chat, None, max_length=192, base=first.base, source=real).save(place / "base")
    for name, subject in subjects.items():
        subject.model.save(place / name)
    return place


@pytest.fixture(scope="module")
def copied(saved, tmp_path_factory):
    """The copy of the base, and those of the adapters."""
    cache = tmp_path_factory.mktemp("cache")
    opened = {name: SavedAdapter(saved / name, saved / "base") for name in STRENGTHS}
    base = opened["weak"].copy_base(cache, cache / "unused")
    assert {each.copy_base(cache, cache / "unused") for each in opened.values()} == {base}
    return base, {name: each.copy(cache, base) for name, each in opened.items()}


@pytest.fixture(params=["slots", "whole"])
def generator(request, copied, monkeypatch):
    """The base with all three, on the cache of slots and without it."""
    from tunewright.engines.runtimes.transformers import decoder

    if request.param == "whole":
        monkeypatch.setattr(decoder, "_agree", lambda *_: False)
    base, copies = copied
    opened = open_generator(base, threads=1, slots=8)
    for name, folder in copies.items():
        bring_adapter(opened, read_manifest(base).model_digest, name, folder)
    yield opened
    opened.close()


def written(generator, asked):
    """Let requests of (name, prompt) be answered at once; return ids and log-probabilities of each."""
    for number, (adapter, prompt) in enumerate(asked):
        generator.add(Request(str(number), prompt, Sampling(max_new_tokens=32), adapter))
    found = {str(number): ([], []) for number in range(len(asked))}
    left = set(found)
    while left:
        for chunk in generator.step():
            found[chunk.request_id][0].extend(chunk.token_ids)
            found[chunk.request_id][1].extend(each.logprob for each in chunk.scores)
            left -= {chunk.request_id} if chunk.finish else set()
    return list(found.values())


def test_each_answers_as_its_own_model_alone_and_mixed(generator, subjects, talker_base):
    probes = {name: subject.certificate.probes for name, subject in subjects.items()}
    assert len({each[0].written for each in probes.values()}) == 3, "they answer differently"
    asked = [
        (name, probe)
        for row in zip(*probes.values(), strict=True)
        for name, probe in zip(probes, row, strict=True)
    ]
    alone = [written(generator, [(name, probe.token_ids)])[0] for name, probe in asked]
    mixed = written(generator, [(name, probe.token_ids) for name, probe in asked])
    for (_, probe), one, other in zip(asked, alone, mixed, strict=True):
        assert tuple(one[0]) == tuple(other[0]) == probe.written
        assert one[1] == pytest.approx(probe.log_probabilities, abs=1e-3)
        assert other[1] == pytest.approx(probe.log_probabilities, abs=1e-3)
    plain = talker_base.certificate.probes
    beside = [("", plain[0].token_ids), ("strong", plain[0].token_ids), ("", plain[1].token_ids)]
    found = written(generator, beside)
    assert (tuple(found[0][0]), tuple(found[2][0])) == (plain[0].written, plain[1].written), (
        "the base, beside one"
    )


@pytest.fixture(scope="module")
def talker_base(real, tmp_path_factory):
    return make_subject(real, tmp_path_factory.mktemp("plain"))


def test_one_is_forgotten_and_another_takes_its_place(generator, copied, subjects, talker_base):
    _, copies = copied
    probe = subjects["odd"].certificate.probes[0]
    generator.forget("strong")
    generator.forget("strong")
    with pytest.raises(InputError, match="there is no adapter 'strong'"):
        generator.add(Request("x", probe.token_ids, Sampling(), "strong"))
    assert tuple(written(generator, [("odd", probe.token_ids)])[0][0]) == probe.written
    for name in ("weak", "odd"):
        generator.forget(name)
    plain = talker_base.certificate.probes[0]
    assert tuple(written(generator, [("", plain.token_ids)])[0][0]) == plain.written, "the base is as it was"
    generator.bring("again", copies["odd"])
    assert tuple(written(generator, [("again", probe.token_ids)])[0][0]) == probe.written


def test_a_copy_is_verified_and_belongs_to_its_base(generator, copied, tmp_path):
    base, copies = copied
    assert isinstance(generator, Adapting)
    damaged = tmp_path / "damaged"
    shutil.copytree(copies["odd"], damaged)
    weights = damaged / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    digest = read_manifest(base).model_digest
    with pytest.raises(TunewrightError, match="has changed since"):
        bring_adapter(generator, digest, "x", damaged)
    with pytest.raises(InputError, match="no adapter of the base that is open"):
        bring_adapter(generator, "0" * 64, "x", copies["odd"])
    with pytest.raises(InputError, match="an adapter's copy, which answers on its base only"):
        open_generator(copies["odd"], threads=1, slots=1)
    assert sum(file.stat().st_size for file in copies["odd"].glob("*")) < 1_000_000
    assert read_manifest(copies["odd"]).base == digest
    assert verify(copies["odd"]).form == read_manifest(base).form


def test_one_that_does_not_fit_leaves_nothing_behind(generator, copied, subjects, tmp_path):
    _, copies = copied
    odd = tmp_path / "unfit"
    shutil.copytree(copies["odd"], odd)
    settings = json.loads((odd / "adapter_config.json").read_text())
    probe = subjects["odd"].certificate.probes[0]
    for changed in (
        {"r": 4},
        {"target_modules": ["q_proj"]},
        {"target_modules": ["nowhere"]},
        {"peft_type": "IA3"},
    ):
        (odd / "adapter_config.json").write_text(json.dumps(settings | changed))
        with pytest.raises(InputError):
            generator.bring("unfit", odd)
        with pytest.raises(InputError, match="there is no adapter"):
            generator.add(Request("x", probe.token_ids, Sampling(), "unfit"))
        assert tuple(written(generator, [("odd", probe.token_ids)])[0][0]) == probe.written


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"init_lora_weights": "pissa"}, "weights were changed"),
        ({"peft_type": "IA3"}, "another kind"),
    ],
)
def test_what_can_not_be_mixed_says_why(saved, tmp_path, change, why):
    folder = tmp_path / "changed"
    shutil.copytree(saved / "odd", folder)
    assert why_apart(folder) == ""
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | change))
    assert why in why_apart(folder)


def test_weights_beside_the_matrices_and_whole_models_are_refused(saved, tmp_path):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    assert why_apart(saved / "base") == "is a whole model, no adapter"
    tensors = load_file(saved / "odd" / "adapter_model.safetensors")
    for name, why in (
        ("base_model.model.model.embed_tokens.weight", "brings weights beside"),
        ("base_model.model.lm_head.lora_A.weight", "changes the output layer"),
    ):
        folder = tmp_path / name
        shutil.copytree(saved / "odd", folder)
        save_file({**tensors, name: np.zeros((2, 2), np.float32)}, folder / "adapter_model.safetensors")
        assert why in why_apart(folder)
        with pytest.raises(InputError, match="--beside"):
            SavedAdapter(folder, saved / "base")


def test_other_engines_name_those_that_can(opened, subjects):
    model = opened(subjects["weak"], "onnx:fp32")
    assert not isinstance(model.generator, Adapting)
    with pytest.raises(
        InputError, match=r"onnx can't heed an adapter chosen by .*; use transformers or remote"
    ):
        model.generator.add(Request("x", (1, 2), Sampling(), "weak"))


def test_an_adapter_of_a_base_in_four_bits_stands_on_the_weights_that_were_computed_with(real, tmp_path):
    from tunewright.config.schema import ModelConfig
    from tunewright.models.catalogue import resolve
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.description import Identity
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel

    pytest.importorskip("bitsandbytes")
    chat = open_chat_tokenizer(real)
    base = Identity.of(resolve(ModelConfig(name=str(real)), base_dir=tmp_path))
    held = adapted(load_causal(real, chat, load_in="4bit"), chat, 0.2)
    model = LanguageModel(chat, held, max_length=192, method="qlora", load_in="4bit", base=base)
    model.save(tmp_path / "adapter")
    LanguageModel(chat, None, max_length=192, base=base, source=real).save(tmp_path / "base")
    saved = SavedAdapter(tmp_path / "adapter", tmp_path / "base")
    assert saved.digest() == model.digest()
    assert saved.base_digest != base.digest
    copy = saved.copy_base(tmp_path / "cache", tmp_path / "written")
    generator = open_generator(copy, threads=1, slots=2)
    bring_adapter(generator, saved.base_digest, "q", saved.copy(tmp_path / "cache", copy))
    ids = chat.tokenizer("Once upon a time")["input_ids"]
    found = written(generator, [("q", tuple(ids))])[0]
    wanted = model.write_ids([ids], max_new_tokens=32, batch_size=1)[0]
    assert found[0] == wanted
    assert found[0] != written(generator, [("", tuple(ids))])[0][0]
