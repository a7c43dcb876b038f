"""Supervised fine-tuning of small real models: it learns, reloads, merges, and ends the same however it is computed."""

from __future__ import annotations

import pytest

from tunewright.models.language.model import LanguageModel
from tunewright.support.errors import InputError
from tunewright.training.language.sft import ChatData, prepare, train


def data(rows, validation=8):
    return ChatData(train=rows[:-validation], validation=rows[-validation:], digest="rows")


@pytest.mark.parametrize("model", ["stories260K-hf", "tinystories-656k-fixed-tokenizer"])
@pytest.mark.parametrize("method", ["lora", "qlora", "dora", "full"])
def test_it_learns_reloads_and_merges(
    method, model, rows, make_recipe, open_base, template, tmp_path, recorder
):
    recipe = make_recipe(model, method=method, epochs=2)
    base = open_base(recipe)
    found = train(data(rows), base, recipe, workspace=tmp_path / "work", recorder=recorder, template=template)
    losses = recorder.of("validation/loss")
    assert losses[-1] < losses[0] < recorder.of("train/loss")[0] + 1
    assert recorder.of("train/loss")[-1] < recorder.of("train/loss")[0]

    expected = found.model.losses(rows[-4:])
    found.model.save(tmp_path / "saved")
    again = LanguageModel.load(tmp_path / "saved", base_folder=base.folder)
    assert again.losses(rows[-4:]) == expected
    assert again.digest() == found.model.digest()
    assert again.write(rows[-2:], max_new_tokens=8) == found.model.write(rows[-2:], max_new_tokens=8)
    if method == "full":
        return
    probes = [found.model.prompt(row).ids for row in rows[-4:]]
    merged, check = found.model.merged(probes, bound=1e-3)
    assert check.from_base > check.bound, "the adapter does something"
    assert [loss for loss, _ in merged.losses(rows[-4:])] == pytest.approx(
        [loss for loss, _ in expected], rel=1e-4
    )
    merged.save(tmp_path / "merged")
    assert [loss for loss, _ in LanguageModel.load(tmp_path / "merged").losses(rows[-4:])] == pytest.approx(
        [loss for loss, _ in expected], rel=1e-4
    )


def gradients(plan, batches):
    """Loss and gradients of one optimiser step that is computed in these batches."""
    import torch

    plan.model.zero_grad()
    made = [plan.padding([plan.train[row] for row in batch]) for batch in batches]
    items = sum(int(each["labels"].ne(-100).sum()) for each in made)
    total = 0.0
    for each in made:
        for piece in plan.pieces(each):
            loss = plan.loss(plan.model, dict(piece), items)
            loss.backward()
            total += float(loss.detach())
    found = {
        name: weight.grad.clone() for name, weight in plan.model.named_parameters() if weight.grad is not None
    }
    return total, torch.cat([found[name].flatten() for name in sorted(found)])


@pytest.mark.parametrize("method", ["full", "lora"])
def test_padded_packed_and_accumulated_steps_are_the_same_step(
    method, rows, make_recipe, open_base, template
):
    import torch

    recipe = make_recipe(method=method, **{"lora.dropout": 0.0})
    base = open_base(recipe)
    plan = prepare(data(rows), base, recipe, template=template)
    with torch.no_grad():
        for name, weight in plan.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    every = list(range(12))
    whole, expected = gradients(plan, [every])

    # What Transformers computes by itself for the same rows, padded, all logits and all.
    batch = plan.padding([plan.train[row] for row in every])
    plan.model.zero_grad()
    reference = plan.model(**batch, use_cache=False).loss
    assert whole == pytest.approx(float(reference), abs=1e-4)

    on = make_recipe(method=method, packing="on", **{"lora.dropout": 0.0})
    packed = prepare(data(rows), base, on, template=template)
    packed.model.load_state_dict(plan.model.state_dict())
    longest = make_recipe(method=method, padding="max_length", **{"lora.dropout": 0.0})
    padded = prepare(data(rows), base, longest, template=template)
    padded.model.load_state_dict(plan.model.state_dict())
    ways = {
        "accumulated": (plan, [every[:5], every[5:10], every[10:]]),
        "packed": (packed, [every]),
        "packed and accumulated": (packed, [every[:7], every[7:]]),
        "padded to the limit": (padded, [every]),
    }
    for name, (other, batches) in ways.items():
        loss, found = gradients(other, batches)
        assert loss == pytest.approx(whole, abs=1e-4), name
        assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max()) + 1e-6, name
    assert len(packed.padding([packed.train[row] for row in every])["input_ids"]) < len(every)


def test_naive_packing_would_leak(rows, make_recipe, open_base, template):
    """The guard of the test above: without positions that begin again, rows see each other and the loss moves."""
    recipe = make_recipe(method="full", packing="on")
    plan = prepare(data(rows), open_base(recipe), recipe, template=template)
    batch = plan.padding([plan.train[row] for row in range(8)])
    items = int(batch["labels"].ne(-100).sum())
    apart = float(plan.loss(plan.model, dict(batch), items))
    naive = {name: tensor for name, tensor in batch.items() if name != "position_ids"}
    assert abs(float(plan.loss(plan.model, naive, items)) - apart) > 1e-2


def test_a_row_without_loss_and_an_untrainable_method_are_refused(
    rows, make_recipe, open_base, template, tmp_path, recorder
):
    recipe = make_recipe(method="full")
    held = recipe.model_copy(update={"model": recipe.model.model_copy(update={"load_in": "4bit"})})
    with pytest.raises(InputError, match=r"weights in 4bit can't be trained.*qlora"):
        prepare(data(rows), open_base(held), held, template=template)
    short = recipe.model_copy(update={"model": recipe.model.model_copy(update={"max_length": 12})})
    with pytest.raises(InputError, match=r"train split, row .*no token carries loss"):
        train(data(rows), open_base(short), short, workspace=tmp_path, recorder=recorder, template=template)
