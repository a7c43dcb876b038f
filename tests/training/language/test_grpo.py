"""GRPO: what is rewarded is learned, by TRL's trainer, with our record and checkpoints."""

from __future__ import annotations

import pytest

from tunewright.data.chat.rows import ChatRow
from tunewright.evaluation.language.rules import AnswerRules
from tunewright.models.catalogue import resolve
from tunewright.support.errors import InputError
from tunewright.training.forecast import forecast_of
from tunewright.training.language.methods import prepare
from tunewright.training.language.rewards import Asked, exact_match, in_format, length, valid_json
from tunewright.training.language.sft import ChatData

ANY = AnswerRules()
SENTENCE = {"answer_format": "regex", "pattern": r"[^.]*\."}
"""An answer that ends with its first full stop: one in a few does by chance."""


@pytest.fixture
def prompts() -> ChatData:
    rows = tuple(
        ChatRow(kind="completion", row=at, prompt=f"{who} went to the", completion=" park.")
        for at, who in enumerate(("Lily", "Tom", "The dog", "Mom", "A cat", "Ben"), 1)
    )
    return ChatData(rows[2:], rows[:2], "prompts")


def asked(reference: str = "", tokens: int = 4) -> Asked:
    return Asked(reference, tokens, room=16)


def test_rewards_are_verified_by_a_program():
    assert exact_match('{"b": 1.0, "a": [2]}', asked('{"a": [2], "b": 1}'), ANY) == 1
    assert exact_match('{"a": true}', asked('{"a": 1}'), ANY) == 0
    assert exact_match("the  park", asked("the park"), ANY) == 1
    assert exact_match("parks", asked("the park"), ANY) == 0
    assert [valid_json(text, asked(), ANY) for text in ('{"a": 1}', "{", "NaN")] == [1, 0, 0]
    digits = AnswerRules("regex", pattern=r"\d+")
    assert [in_format(text, asked(), digits) for text in ("42", "42 apples")] == [1, 0]
    number = AnswerRules("json", schema={"type": "number"})
    assert [in_format(text, asked(), number) for text in ("4.5", '"x"')] == [1, 0]
    assert length("yes", asked(tokens=4), ANY) == 0.75
    assert length(" ", asked(tokens=1), ANY) == 0


class Killed(BaseException):
    """Ends a training in the middle, past every handler."""


@pytest.mark.slow
def test_what_is_rewarded_is_learned_and_a_kill_changes_nothing(prompts, make_recipe, fine_tune, recorder):
    class Killing(type(recorder)):
        def metrics(self, values, step):
            super().metrics(values, step)
            if "reward" in values and step == 4:
                raise Killed

    recipe = make_recipe(
        "grpo",
        batch_size=2,
        epochs=6,
        learning_rate=3e-3,
        checkpoint_steps=3,
        grpo={"rewards": ["format"], "generations": 6, "max_new_tokens": 6},
        evaluation=SENTENCE,
    )
    with pytest.raises(Killed):
        fine_tune(prompts, recipe, told=Killing())
    resumed = fine_tune(prompts, recipe)
    seen = dict(recorder.points)
    recorder.points.clear()
    straight = fine_tune(prompts, recipe, workspace="straight")
    assert resumed.figures.resumed_from_step == 3
    assert resumed.model.digest() == straight.model.digest()
    assert seen == recorder.points
    rewards = [entry["reward"] for entry in straight.log]
    assert sum(rewards[-3:]) > sum(rewards[:3])
    assert straight.history[-1]["validation/rewards/format"] == straight.history[-1]["validation/reward"]
    best = max(each["validation/reward"] for each in straight.history)
    first = [each["step"] for each in straight.history if each["validation/reward"] == best]
    assert straight.figures.best_step in first
    assert len(straight.model.write(list(prompts.validation), max_new_tokens=4)) == 2


def test_adapters_held_to_a_reference_end_as_one_adapter(prompts, make_recipe, fine_tune, tmp_path):
    recipe = make_recipe(
        "grpo", method="lora", batch_size=4, epochs=3, learning_rate=1e-2,
        grpo={"rewards": ["format"], "generations": 4, "max_new_tokens": 6, "beta": 0.1}, evaluation=SENTENCE,
    )  # fmt: skip
    candidate = fine_tune(prompts, recipe)
    assert list(candidate.model.model.peft_config) == ["default"]
    assert "kl" in candidate.log[-1]
    merged, check = candidate.model.merged([[1, 5, 9]], bound=1e-3)
    assert check.from_base > 0
    assert merged.write(list(prompts.validation), max_new_tokens=4) == candidate.model.write(
        list(prompts.validation), max_new_tokens=4
    )


def test_rewards_that_every_answer_would_get_are_refused(prompts, make_recipe, fine_tune):
    with pytest.raises(InputError, match="every answer has the format"):
        fine_tune(prompts, make_recipe("grpo", grpo={"rewards": ["format"]}))
    silent = ChatData(
        (ChatRow(kind="completion", row=4, prompt="a", completion=" "),), prompts.validation, "silent"
    )
    with pytest.raises(InputError, match="row 4: has no answer that another could match"):
        fine_tune(silent, make_recipe("grpo"))


def test_a_forecast_writes_and_learns(prompts, make_recipe, template, tmp_path):
    recipe = make_recipe(
        "grpo", batch_size=2, epochs=1, grpo={"rewards": ["length"], "generations": 2, "max_new_tokens": 4}
    )
    base = resolve(recipe.model, base_dir=tmp_path)
    expected = forecast_of(lambda: prepare(prompts, base, recipe, template=template), tmp_path)
    assert expected.steps == 2
    assert expected.seconds > 0
