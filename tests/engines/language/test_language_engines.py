"""Language models on every engine: the same answers, alone, in company, and when others come and go."""

from __future__ import annotations

import time

import pytest

from tunewright.engines.interface import Request, Sampling
from tunewright.registry.language_certificate import replay
from tunewright.support.errors import InputError

EXACT = ["transformers:fp32", "openvino:fp32", "ctranslate2:fp32", "onnx:fp32"]


def drain(generator, count=10_000):
    """Step until there is nothing more to do; return ids and last finish by request."""
    ids, finish = {}, {}
    for _ in range(count):
        chunks = generator.step()
        for chunk in chunks:
            ids.setdefault(chunk.request_id, []).extend(chunk.token_ids)
            finish[chunk.request_id] = chunk.finish or finish.get(chunk.request_id)
        if not chunks:
            break
    return ids, finish


@pytest.mark.parametrize("form", EXACT)
def test_exact_copies_replay_the_certificate(opened, tuned, form):
    model = opened(tuned, form)
    found = replay(tuned.certificate, model)
    assert found.max_difference < 1e-4
    assert model.write_ids(tuned.prompts, max_new_tokens=32, batch_size=1) == [
        list(probe.written) for probe in tuned.certificate.probes
    ]
    model.close()


@pytest.mark.parametrize(
    "architecture",
    [
        "mistral",
        "gpt2",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "gpt_neox", "opt")
        ),
    ],
)
def test_transformers_slots_are_right_for_architecture(opened, subject, tiny, architecture):
    from tunewright.engines.runtimes.transformers.decoder import SlotDecoder

    one = subject(tiny(architecture))
    model = opened(one, "transformers:fp32", slots=3)
    assert isinstance(model.generator._decoder, SlotDecoder)
    assert replay(one.certificate, model).max_difference < 1e-4


@pytest.mark.parametrize("architecture", ["bloom", pytest.param("mamba", marks=pytest.mark.slow)])
def test_transformers_reads_all_again_where_it_does_not_understand_the_cache(
    opened, subject, tiny, architecture
):
    from tunewright.engines.runtimes.transformers.decoder import SlotDecoder

    one = subject(tiny(architecture))
    model = opened(one, "transformers:fp32")
    assert not isinstance(model.generator._decoder, SlotDecoder)
    assert replay(one.certificate, model).max_difference < 1e-4


@pytest.mark.parametrize("form", EXACT)
def test_requests_come_and_go_and_nobody_notices(opened, tuned, form):
    model = opened(tuned, form, slots=2)
    generator = model.generator
    wanted = {str(at): list(probe.written) for at, probe in enumerate(tuned.certificate.probes)}
    asked = [
        Request(str(at), probe.token_ids, Sampling(max_new_tokens=32))
        for at, probe in enumerate(tuned.certificate.probes)
    ]
    found: dict[str, list[int]] = {}

    def step():
        for chunk in generator.step():
            found.setdefault(chunk.request_id, []).extend(chunk.token_ids)

    generator.add(asked[0])
    step()
    generator.add(Request("leaver", tuned.prompts[1], Sampling(max_new_tokens=64, ignores_stops=True)))
    generator.add(asked[1])
    step()
    step()
    generator.drop("leaver")
    generator.add(asked[2])
    generator.add(asked[3])
    generator.drop("never heard of")
    for _ in range(400):
        step()
    assert {name: ids for name, ids in found.items() if name != "leaver"} == wanted
    assert len(found.get("leaver", [])) < 64
    model.close()


@pytest.mark.parametrize("form", [form for form in EXACT if not form.startswith("ctranslate2")])
def test_a_seed_gives_the_same_answer_in_any_company(opened, tuned, form):
    model = opened(tuned, form)
    generator = model.generator
    prompt = tuned.prompts[0]
    sampling = Sampling(max_new_tokens=24, temperature=1.0, top_p=0.95, top_k=40, seed=7, ignores_stops=True)
    generator.add(Request("alone", prompt, sampling))
    alone = drain(generator)[0]["alone"]
    generator.add(Request("other", tuned.prompts[3], Sampling(max_new_tokens=9, temperature=2.0, seed=1)))
    generator.add(Request("again", prompt, sampling))
    generator.add(Request("reseeded", prompt, Sampling(max_new_tokens=24, temperature=1.0, seed=8)))
    found = drain(generator)[0]
    assert found["again"] == alone
    assert found["reseeded"] != alone
    model.close()


@pytest.mark.parametrize("form", EXACT)
def test_scores_are_those_of_the_model(opened, tuned, form):
    model = opened(tuned, form)
    answers = model.answer(tuned.prompts, Sampling(max_new_tokens=32))
    for answer, probe in zip(answers, tuned.certificate.probes, strict=True):
        found = [score.logprob for score in answer.scores]
        assert found == pytest.approx(probe.log_probabilities, abs=1e-3)
        assert answer.finish == ("stop" if answer.ids[-1] in tuned.facts.stop_ids else "length")
    model.close()


@pytest.mark.parametrize("form", EXACT)
def test_what_cannot_be_answered_is_refused_at_once(opened, tuned, form):
    model = opened(tuned, form)
    generator = model.generator
    prompt = tuned.prompts[0]
    with pytest.raises(InputError, match="leaves no room"):
        generator.add(Request("long", prompt * 40))
    with pytest.raises(InputError, match="no tokens"):
        generator.add(Request("empty", ()))
    with pytest.raises(InputError, match="outside 0 to 511"):
        generator.add(Request("alien", (1, 512)))
    with pytest.raises(InputError, match=r"can't heed an adapter|there is no adapter 'mine'"):
        generator.add(Request("adapter", prompt, adapter="mine"))
    assert generator.step() == []
    assert model.write_ids([prompt * 40], max_new_tokens=4, batch_size=1) == [[]], "no room: an empty answer"
    model.close()


def test_ctranslate2_begins_the_next_batch_at_once(opened, tuned):
    """A batch's end once went unseen for 50 ms when its last token had been taken before the end was told."""
    model = opened(tuned, "ctranslate2:fp32")
    waits = []
    for _ in range(15):
        asked = time.perf_counter()
        model.answer(tuned.prompts[:1], Sampling(max_new_tokens=2))
        waits.append(time.perf_counter() - asked)
    assert sorted(waits)[7] < 0.04, "a few milliseconds are usual"
    model.close()


def test_ctranslate2_refuses_what_it_could_not_repeat(opened, tuned):
    model = opened(tuned, "ctranslate2:fp32")
    with pytest.raises(InputError, match="can't heed a temperature with a seed"):
        model.generator.add(Request("warm", tuned.prompts[0], Sampling(temperature=1.0)))
    model.close()


@pytest.mark.parametrize("form", ["openvino:fp32", "ctranslate2:fp32", "onnx:fp32"])
@pytest.mark.slow
def test_a_model_whose_embeddings_have_more_rows_than_its_tokenizer(opened, subject, tiny, form):
    one = subject(tiny("qwen2"))
    model = opened(one, form)
    assert replay(one.certificate, model).max_difference < 1e-4
    model.close()


@pytest.mark.parametrize("form", EXACT)
def test_a_timing_writes_as_much_as_it_asks_for(opened, tuned, form):
    model = opened(tuned, form)
    sampling = Sampling(max_new_tokens=40, logprobs=-1, ignores_stops=True)
    found = model.answer(tuned.prompts, sampling)
    assert [len(answer.ids) for answer in found] == [40] * len(tuned.prompts)
    assert not any(answer.scores for answer in found)
    model.close()
