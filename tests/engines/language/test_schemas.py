"""Answers by a JSON schema: a model of random weights, which would write anything else, writes what matches."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tunewright.engines.interface import Request, Sampling
from tunewright.support.errors import InputError

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["ham", "spam"]},
        "parts": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "sure": {"type": "boolean"},
    },
    "required": ["label", "parts", "sure"],
    "additionalProperties": False,
}


def sampling(**given) -> Sampling:
    return Sampling(**{"max_new_tokens": 120, "json_schema": json.dumps(SCHEMA), **given})


@pytest.mark.parametrize("form", ["transformers:fp32", "onnx:fp32"])
def test_what_is_drawn_matches_the_schema(opened, tuned, form):
    model = opened(tuned, form)
    greedy = model.answer(tuned.prompts, sampling())
    drawn = [model.answer(tuned.prompts, sampling(temperature=1.0, seed=seed)) for seed in (1, 2)]
    texts = [model.side.text(answer.ids) for answers in (greedy, *drawn) for answer in answers]
    for text in texts:
        jsonschema.validate(json.loads(text), SCHEMA)
    assert len(set(texts)) > len(tuned.prompts), "they are the model's own within the schema"
    assert all(answer.finish == "stop" for answer in greedy)
    plain = model.answer(tuned.prompts, Sampling(max_new_tokens=8))
    assert plain == model.answer(tuned.prompts, Sampling(max_new_tokens=8)), "others are not held to it"


def test_an_answer_that_is_gone_on_with_ends_as_it_would_have(opened, tuned):
    model = opened(tuned, "transformers:fp32")
    prompt = tuned.prompts[0]
    (whole,) = model.answer([prompt], sampling(temperature=1.0, seed=5))
    for cut in (1, len(whole.ids) // 2, len(whole.ids) - 1):
        (rest,) = model.answer([[*prompt, *whole.ids[:cut]]], sampling(temperature=1.0, seed=5, written=cut))
        assert [*whole.ids[:cut], *rest.ids] == list(whole.ids)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('{"type": 7}', "can't be heeded"),
        ('{"$ref": "https://example.com/schema.json"}', "can't be heeded"),
        ('{"type": "object"', "can't be heeded"),
    ],
)
def test_a_schema_that_can_not_be_heeded_is_refused(opened, tuned, schema, said):
    model = opened(tuned, "transformers:fp32")
    with pytest.raises(InputError, match=said):
        model.generator.add(Request("x", tuned.prompts[0], Sampling(json_schema=schema)))


def test_a_tokenizer_without_brackets_is_named(opened, real_tuned):
    model = opened(real_tuned, "transformers:fp32")
    with pytest.raises(InputError, match="has no tokens for such an answer"):
        model.generator.add(Request("x", real_tuned.prompts[0], sampling()))
