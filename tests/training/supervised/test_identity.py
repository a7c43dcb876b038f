"""Nothing stale is taken up: checkpoints belong to rows, base, template and settings."""

from __future__ import annotations

from dataclasses import replace

from tunewright.training.language.sft import ChatData, identity


def test_another_row_template_base_or_setting_is_another_training(
    rows, make_recipe, open_base, template, tmp_path
):
    recipe = make_recipe()
    base = open_base(recipe)
    data = ChatData(train=rows[:8], validation=rows[8:12], digest="rows")
    other_template = tmp_path / "other.jinja"
    other_template.write_text(template.read_text().replace("A:", "B:"))
    other_base = make_recipe("tinystories-656k-fixed-tokenizer")
    longer = recipe.model_copy(update={"model": recipe.model.model_copy(update={"max_length": 64})})
    found = [
        identity(data, base, recipe, template),
        identity(replace(data, digest="other rows"), base, recipe, template),
        identity(data, base, recipe, other_template),
        identity(data, base, recipe),
        identity(data, open_base(other_base), other_base, template),
        identity(data, base, longer, template),
        identity(data, base, make_recipe(loss_on="all"), template),
        identity(data, base, make_recipe(method="dora"), template),
    ]
    assert len(set(found)) == len(found)
    same = make_recipe(checkpoint_steps=3, keep_checkpoints=5)
    assert identity(data, base, same, template) == found[0], (
        "how often it is saved doesn't change the weights"
    )
