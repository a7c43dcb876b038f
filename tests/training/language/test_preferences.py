"""What trainings on compared and rated answers learn, record, keep and refuse."""

from __future__ import annotations

import pytest

from tunewright.data.chat.rows import ChatRow, Message
from tunewright.models.catalogue import resolve
from tunewright.models.chat.preflight import inspect_rows
from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.models.language.model import LanguageModel
from tunewright.models.language.reward import RewardModel
from tunewright.support.errors import InputError
from tunewright.training.forecast import forecast_of
from tunewright.training.language.methods import prepare
from tunewright.training.language.sft import ChatData

FIGURES = ("loss", "rewards/chosen", "rewards/rejected", "rewards/accuracy", "rewards/margin")


@pytest.mark.parametrize(
    ("objective", "method", "rate"),
    [
        ("dpo", "full", 4e-4),
        ("dpo", "lora", 4e-3),
        ("orpo", "lora", 4e-3),
        ("reward", "full", 4e-4),
        ("kto", "full", 4e-4),
        ("kto", "dora", 4e-3),
    ],
)
def test_the_better_answer_is_preferred_more_often_after_training(
    objective, method, rate, preferences, ratings, make_recipe, fine_tune, recorder
):
    recipe = make_recipe(objective, method=method, epochs=4, learning_rate=rate)
    candidate = fine_tune(ratings if objective == "kto" else preferences, recipe)
    first, last = candidate.log[0], candidate.log[-1]
    assert last["train/loss"] < first["train/loss"]
    assert last["rewards/margin"] > first["rewards/margin"]
    assert last["rewards/accuracy"] > first["rewards/accuracy"] or last["rewards/accuracy"] == 1
    assert {f"validation/{name}" for name in FIGURES} <= candidate.history[-1].keys()
    assert recorder.points["rewards/accuracy", 1] == first["rewards/accuracy"]
    assert recorder.points["validation/loss", 8] == candidate.history[-1]["validation/loss"]
    best = min(candidate.history, key=lambda each: each["validation/loss"])
    assert candidate.figures.best_step == best["step"], "the lowest validation loss picks the weights"
    if objective in {"dpo", "kto"}:
        assert first["rewards/chosen"] == pytest.approx(0, abs=1e-5), (
            "before it learns it is its own reference"
        )


def test_a_4_bit_base_learns_preferences_too(preferences, make_recipe, fine_tune):
    pytest.importorskip("bitsandbytes")
    recipe = make_recipe("dpo", method="qlora", epochs=2, learning_rate=4e-3)
    candidate = fine_tune(preferences, recipe)
    assert candidate.model.load_in == "4bit"
    assert candidate.log[-1]["train/loss"] < candidate.log[0]["train/loss"]


class Killed(BaseException):
    """Ends a training in the middle, past every handler."""


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_a_killed_training_ends_with_the_same_bits(objective, preferences, make_recipe, fine_tune, recorder):
    class Killing(type(recorder)):
        def metrics(self, values, step):
            super().metrics(values, step)
            if "train/loss" in values and step == 3:
                raise Killed

    recipe = make_recipe(
        objective, method="lora", checkpoint_steps=2, gradient_accumulation_steps=2, batch_size=4, epochs=2
    )
    with pytest.raises(Killed):
        fine_tune(preferences, recipe, told=Killing())
    resumed = fine_tune(preferences, recipe)
    seen = dict(recorder.points)
    recorder.points.clear()
    straight = fine_tune(preferences, recipe, workspace="straight")
    assert resumed.figures.resumed_from_step == 2
    assert resumed.model.digest() == straight.model.digest()
    assert (resumed.log, resumed.history, seen) == (straight.log, straight.history, recorder.points)


def test_the_reference_is_asked_once_and_never_answers_for_other_rows(
    preferences, make_recipe, template, tmp_path, capsys
):
    recipe = make_recipe("dpo", method="lora")
    base = resolve(recipe.model, base_dir=tmp_path)

    def known(data=preferences, recipe=recipe, template=template):
        plan = prepare(data, base, recipe, template=template, workspace=tmp_path / "work")
        asked = "asking the reference" in capsys.readouterr().err
        return asked, plan.train.reference

    asked, first = known()
    assert asked
    assert known() == (False, first)
    assert known(recipe=make_recipe("dpo", method="lora", learning_rate=1e-5)) == (False, first)
    other = tmp_path / "other.jinja"
    other.write_text(template.read_text().replace("Answer:", "Reply:"))
    asked, changed = known(template=other)
    assert asked
    assert changed != first
    fewer = ChatData(preferences.train[:-1], preferences.validation, preferences.digest)
    assert known(data=fewer)[0], "the rows themselves count, not what a digest says of them"
    shorter = recipe.model_copy(update={"model": recipe.model.model_copy(update={"max_length": 90})})
    assert known(recipe=shorter)[0]
    for file in (tmp_path / "work" / "reference").iterdir():
        file.write_bytes(file.read_bytes()[:-8])
    assert known() == (True, first), "a damaged file is computed anew"


def test_preferences_serve_as_ratings(preferences, make_recipe, template, tmp_path):
    recipe = make_recipe("kto")
    plan = prepare(preferences, resolve(recipe.model, base_dir=tmp_path), recipe, template=template)
    assert len(plan.train) == 2 * len(preferences.train)
    assert sum(plan.train.good) == len(preferences.train)


def test_rows_that_teach_nothing_are_refused_by_name(
    preferences, conversations, ratings, make_recipe, fine_tune
):
    wrong = [
        ("dpo", conversations, "train split, row 9: is a conversation, and dpo learns from preferences"),
        ("reward", ratings, "is a rated answer, and reward learns from preferences"),
        ("kto", conversations, "is a conversation, and kto learns from rated answers"),
        ("sft", ratings, "is an answer that was rated bad"),
    ]
    for objective, data, complaint in wrong:
        with pytest.raises(InputError) as refused:
            fine_tune(data, make_recipe(objective))
        assert complaint in str(refused.value)
        assert "training.objective" in str(refused.value)
    with pytest.raises(InputError, match="a batch has one"):
        fine_tune(ratings, make_recipe("kto", batch_size=1))


def test_supervised_learning_takes_the_chosen_answers(preferences, make_recipe, fine_tune):
    candidate = fine_tune(preferences, make_recipe("sft", epochs=3))
    assert candidate.history[-1]["validation/loss"] < candidate.history[0]["validation/loss"]


@pytest.mark.parametrize("objective", ["dpo", "kto", "reward"])
def test_preflight_and_forecast_know_such_trainings(objective, preferences, make_recipe, template, tmp_path):
    recipe = make_recipe(objective)
    base = resolve(recipe.model, base_dir=tmp_path)
    chat = open_chat_tokenizer(base.folder, name=base.name, template=template)
    found = inspect_rows(preferences.train, chat, max_length=128)
    assert found.totals.sequences == 2 * len(preferences.train)
    expected = forecast_of(lambda: prepare(preferences, base, recipe, template=template), tmp_path)
    plan = prepare(preferences, base, recipe, template=template)
    assert expected.steps == plan.total_steps
    assert expected.useful_tokens == 2 * plan.train.lengths.sum()
    assert expected.seconds > 0


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_reward_model_scores_and_writes_nothing(method, preferences, make_recipe, fine_tune, tmp_path):
    recipe = make_recipe("reward", method=method)
    candidate = fine_tune(preferences, recipe)
    model = candidate.model
    assert isinstance(model, RewardModel)
    rows = preferences.validation
    scores = model.score_pairs(rows)
    alone = [model.score_pairs([row], batch_size=1)[0] for row in rows]
    for left, right in zip(scores, alone, strict=True):
        assert left == pytest.approx(right, abs=1e-5), "a score doesn't depend on its neighbours"
    assert model.score(rows) == pytest.approx([chosen for chosen, _ in scores], abs=1e-5)
    model.save(tmp_path / "saved")
    again = RewardModel.load(tmp_path / "saved", base_folder=candidate.base.folder)
    assert again.score_pairs(rows) == scores
    with pytest.raises(InputError, match="writes none"):
        model.write(rows)
    with pytest.raises(InputError, match="is a reward model"):
        LanguageModel.load(tmp_path / "saved", base_folder=candidate.base.folder)


def test_a_saved_reward_model_opens_in_plain_transformers(preferences, make_recipe, fine_tune, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification

    model = fine_tune(preferences, make_recipe("reward", epochs=1)).model
    model.save(tmp_path / "saved")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    ids = [[1, 5, 9, 2], [1, 7, 2]]
    padded = torch.tensor([ids[0], [*ids[1], model.chat.setup.pad_id]])
    with torch.inference_mode():
        found = plain(input_ids=padded, attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])).logits[
            :, 0
        ]
    assert model.score_ids(ids) == pytest.approx(found.tolist(), abs=1e-5)


def test_an_answer_that_is_cut_away_is_refused(make_recipe, fine_tune):
    row = ChatRow(
        kind="preference",
        row=3,
        messages=(Message(role="user", content="word " * 400),),
        chosen=(Message(role="assistant", content="yes"),),
        rejected=(Message(role="assistant", content="no"),),
    )
    with pytest.raises(InputError, match="train split, row 3: no token carries loss"):
        fine_tune(ChatData((row,), (row,), "cut"), make_recipe("dpo"))
