"""An adapter and its merged form answer the same, or the merge is refused; 4-bit weights stay what they are."""

from __future__ import annotations

import pytest

from tunewright.data.chat.rows import ChatRow
from tunewright.models.language.model import LanguageModel
from tunewright.support.errors import InputError, TunewrightError

ROWS = [
    ChatRow(kind="completion", prompt="Once upon a time", completion=" there was a cat."),
    ChatRow(kind="completion", prompt="Lily saw a big red ball", completion=" and she smiled at it."),
]


@pytest.mark.parametrize(("held", "magnitudes"), [("full", False), ("full", True), ("4bit", False)])
def test_every_form_scores_the_same(adapted, prompts, stories, tmp_path, held, magnitudes):
    model = adapted(held, magnitudes=magnitudes)
    expected = [loss for loss, _ in model.losses(ROWS)]
    merged, check = model.merged(prompts, bound=1e-3)
    assert check.from_adapter < 1e-3 < check.from_base
    assert check.was_quantised == (held == "4bit")
    model.save(tmp_path / "adapter")
    merged.save(tmp_path / "merged")
    forms = {
        "adapter after the merge": model,
        "merged": merged,
        "adapter, reloaded": LanguageModel.load(tmp_path / "adapter", base_folder=stories),
        "merged, reloaded": LanguageModel.load(tmp_path / "merged"),
    }
    for name, form in forms.items():
        assert [loss for loss, _ in form.losses(ROWS)] == pytest.approx(expected, rel=1e-4), name


def test_plain_libraries_open_what_is_saved(adapted, prompts, stories, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = adapted()
    model.save(tmp_path / "adapter")
    model.merged(prompts, bound=1e-3)[0].save(tmp_path / "merged")
    base = AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32)
    plain = {
        "peft": PeftModel.from_pretrained(base, tmp_path / "adapter").eval(),
        "transformers": AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval(),
    }
    ids = torch.tensor([prompts[0]])
    with torch.inference_mode():
        expected = model.model(ids).logits
        for name, other in plain.items():
            assert float((other(ids).logits - expected).abs().max()) < 1e-3, name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer("Once upon a time")["input_ids"] == prompts[0]


def test_a_merge_that_changes_nothing_is_refused(adapted, prompts):
    with pytest.raises(TunewrightError, match="exactly as the base does: the adapter changes nothing"):
        adapted(strength=0.0).merged(prompts, bound=1e-3)


def test_a_merge_that_changes_answers_is_refused(adapted, prompts):
    """In 8 bits the activations are rounded as well, which no merged weight repeats."""
    with pytest.raises(TunewrightError, match="merged model's logits differ from the adapter's by"):
        adapted("8bit").merged(prompts, bound=1e-3)


def test_another_base_is_refused(adapted, shared, tmp_path):
    adapted().save(tmp_path / "adapter")
    other = shared / "models" / "tinystories-656k-fixed-tokenizer"
    with pytest.raises(InputError, match=r"has digest .* the adapter was trained on"):
        LanguageModel.load(tmp_path / "adapter", base_folder=other)
    with pytest.raises(InputError, match="is an adapter and needs the model it was trained on"):
        LanguageModel.load(tmp_path / "adapter")


def first_gradient(model, ids):
    """The gradient of every adapter weight on one prompt."""
    import torch

    model.zero_grad()
    tokens = torch.tensor([ids])
    model(tokens, labels=tokens).loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def test_gradients_in_4_bits_survive_an_evaluation_pass(adapted, prompts):
    """Elsewhere a processor's own kernel packs the weights anew, and gradients are wrong from then on."""
    model = adapted("4bit")
    before = first_gradient(model.model.train(), prompts[0])
    model.losses(ROWS)
    model.write(ROWS, max_new_tokens=4)
    after = first_gradient(model.model.train(), prompts[0])
    assert float((after - before).norm() / before.norm()) < 1e-5


def test_what_the_guard_prevents(adapted, prompts, shared):
    """Without the guard, on a processor that has the kernel, an evaluation pass packs the weights: they are refused."""
    from bitsandbytes.nn.modules import has_avx512bf16

    if not has_avx512bf16():
        pytest.skip("this processor has no kernel that packs 4-bit weights")
    model = adapted("4bit", folder=shared / "models" / "tinystories-656k-fixed-tokenizer")
    before = first_gradient(model.model.train(), prompts[0])
    for module in model.model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = True
    model.losses(ROWS)
    after = first_gradient(model.model.train(), prompts[0])
    assert float((after - before).norm() / before.norm()) > 0.1, "gradients are wrong, and nothing raised"
    with pytest.raises(InputError, match="packed for a kernel that can't give them back"):
        model.merged(prompts, bound=1e-3)
