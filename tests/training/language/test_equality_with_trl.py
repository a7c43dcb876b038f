"""Loss and gradients of each objective are those of TRL's trainer, on the same rows and the same weights."""

from __future__ import annotations

import warnings

import pytest
import torch

from tunewright.models.catalogue import resolve
from tunewright.models.language.loading import load_causal
from tunewright.models.language.reward import load_scorer
from tunewright.training.language.methods import prepare

BOUND = 1e-5
ROWS = 8


@pytest.fixture
def make_plan(make_recipe, template, tmp_path):
    """Return a function that prepares a plan whose weights have moved a little, and gives its base."""

    def make(data, objective, **preference):
        recipe = make_recipe(
            objective, preference=preference, **({"loss_on": "all"} if objective == "orpo" else {})
        )
        base = resolve(recipe.model, base_dir=tmp_path)
        plan = prepare(data, base, recipe, template=template, workspace=tmp_path / "work")
        moved(plan.model)
        return plan, base

    return make


def moved(model):
    """Make any copy of a model the same other one, in training mode: with noise, and less sure of itself.

    On real text it then finds answers more probable than the reference does, so that KTO's shift isn't cut off at 0.
    """
    torch.manual_seed(3)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            weight.add_(0.02 * torch.randn(weight.shape) * weight.std())
        model.get_parameter("model.norm.weight").mul_(0.7)
    return model.train()


def ours(plan):
    """Return loss and gradients of one batch, computed in pieces of neighbouring rows."""
    batch = plan.padding([plan.train[at] for at in range(ROWS)])
    items = plan.items([batch])
    with plan.computing(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunewright.training.plan.TOKENS_AT_ONCE", 250)
        pieces = list(plan.pieces(batch))
        assert len(pieces) > 1
        losses = [plan.loss(plan.model, piece, items) for piece in pieces]
        sum(losses).backward()
    return float(sum(losses)), gradients(plan.model)


def gradients(model):
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def same(left, right):
    """Tell whether losses and all gradients agree."""
    assert left[0] == pytest.approx(right[0], rel=BOUND, abs=BOUND)
    assert left[1].keys() == right[1].keys()
    scale = max(float(value.abs().max()) for value in right[1].values())
    worst = max(float((left[1][name] - right[1][name]).abs().max()) for name in right[1])
    assert worst <= BOUND * max(1.0, scale), f"gradients differ by {worst:.2e} of {scale:.2e}"


def trl_settings(kind, folder, **more):
    """Return a TRL configuration for a CPU."""
    return kind(
        output_dir=str(folder), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        per_device_train_batch_size=ROWS, disable_tqdm=True, **more,
    )  # fmt: skip


def parts(row):
    """Cut a masked row into prompt and answer, as TRL's collators take them."""
    ids, mask = row
    start = mask.index(True)
    assert all(mask[start:])
    return list(ids[:start]), list(ids[start:])


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_dpo(kind, preferences, make_plan, tmp_path):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    plan, base = make_plan(preferences, "dpo", beta=0.3, loss=kind)
    policy, reference = load_causal(base.folder, plan.chat), load_causal(base.folder, plan.chat)
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=trl_settings(DPOConfig, tmp_path, beta=0.3, loss_type=[kind], max_length=None),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=plan.tokenizer,
    )
    moved(policy)
    rows = []
    for at in range(ROWS):
        (prompt, chosen), (_, rejected) = (parts(side) for side in plan.train[at][:2])
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    loss = trainer._compute_loss(policy, DataCollatorForPreference(plan.chat.setup.pad_id)(rows), False)
    loss.backward()
    same(ours(plan), (float(loss), gradients(policy)))
    figures = plan.gathered({})
    for name, theirs in (
        ("chosen", "chosen"),
        ("rejected", "rejected"),
        ("accuracy", "accuracies"),
        ("margin", "margins"),
    ):
        assert figures[f"rewards/{name}"] == pytest.approx(
            trainer._metrics["train"][f"rewards/{theirs}"][0], abs=1e-4
        )


def test_kto(ratings, make_plan, tmp_path):
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

    plan, base = make_plan(ratings, "kto", beta=0.3, desirable_weight=1.2, undesirable_weight=0.7)
    policy, reference = load_causal(base.folder, plan.chat), load_causal(base.folder, plan.chat)
    trainer = KTOTrainer(
        model=policy,
        ref_model=reference,
        args=trl_settings(
            KTOConfig, tmp_path, beta=0.3, desirable_weight=1.2, undesirable_weight=0.7, max_length=None
        ),
        train_dataset=Dataset.from_list([{"prompt": "a", "completion": "b", "label": True}] * 2),
        processing_class=plan.tokenizer,
    )
    moved(policy)
    rows = []
    for at in range(ROWS):
        row, mismatched, good, _ = plan.train[at]
        prompt, answer = parts(row)
        assert parts(mismatched)[0] == prompt
        assert parts(mismatched)[1] != answer
        rows.append(
            {
                "prompt_ids": prompt,
                "completion_ids": answer,
                "KL_completion_ids": parts(mismatched)[1],
                "label": good,
            }
        )
    loss = trainer._compute_loss(
        policy, DataCollatorForUnpairedPreference(plan.chat.setup.pad_id)(rows), False
    )
    loss.backward()
    same(ours(plan), (float(loss), gradients(policy)))
    assert trainer._metrics["train"]["kl"][0] > 0, "the distance from the reference takes part"
    figures = plan.gathered({})
    for name, theirs in (("chosen", "chosen"), ("rejected", "rejected"), ("margin", "margins")):
        assert figures[f"rewards/{name}"] == pytest.approx(
            trainer._metrics["train"][f"rewards/{theirs}"][0], abs=1e-4
        )


def test_orpo_where_every_token_carries_loss(preferences, make_plan, tmp_path):
    """TRL's cross-entropy counts the prompt as well, which ours does when the recipe says so."""
    from datasets import Dataset
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    plan, base = make_plan(preferences, "orpo", beta=0.3)
    policy = load_causal(base.folder, plan.chat)
    trainer = ORPOTrainer(
        model=policy,
        args=trl_settings(ORPOConfig, tmp_path, beta=0.3, max_length=128),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=plan.tokenizer,
    )
    moved(policy)
    batch = plan.padding([plan.train[at] for at in range(ROWS)])
    labels = batch["input_ids"].masked_fill(batch["answer_mask"] == 0, -100)
    given = {}
    for side, start in (("chosen", 0), ("rejected", 1)):
        given[f"{side}_input_ids"] = batch["input_ids"][start::2]
        given[f"{side}_attention_mask"] = batch["attention_mask"][start::2]
        given[f"{side}_labels"] = labels[start::2]
    loss, _ = trainer.get_batch_loss_metrics(policy, given)
    loss.backward()
    same(ours(plan), (float(loss), gradients(policy)))


def test_reward(preferences, make_plan, tmp_path):
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer
    from trl.trainer.reward_trainer import DataCollatorForPreference

    plan, base = make_plan(preferences, "reward")
    scorer = load_scorer(base.folder, plan.chat, seed=7)
    trainer = RewardTrainer(
        model=scorer,
        args=trl_settings(RewardConfig, tmp_path, max_length=None),
        train_dataset=Dataset.from_list([{"chosen": "b", "rejected": "c"}]),
        processing_class=plan.tokenizer,
    )
    moved(scorer)
    rows = [
        {"chosen_ids": list(chosen[0]), "rejected_ids": list(rejected[0])}
        for chosen, rejected, _ in (plan.train[at] for at in range(ROWS))
    ]
    loss = trainer.compute_loss(scorer, DataCollatorForPreference(plan.chat.setup.pad_id)(rows))
    loss.backward()
    same(ours(plan), (float(loss), gradients(scorer)))
