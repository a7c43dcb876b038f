"""Language models in MLflow: certified, logged as adapter or whole, opened by plain MLflow, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewright.data.chat.rows import ChatRow, Message
from tunewright.registry.executions import execution
from tunewright.registry.language_certificate import choose_probes, record, replay
from tunewright.registry.language_models import (
    is_language_model,
    load_language_certificate,
    load_language_model,
    log_language_model,
)
from tunewright.support.errors import TunewrightError

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %} {{ m.content }}"
    "{{ eos_token }}{% endgeneration %}\n{% else %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)
ASKED = ("Tell me a story.", "Where is the cat?", "Who has the red ball, Tom or Lily?")
ROWS = [
    ChatRow(
        kind="conversation",
        row=number,
        messages=(Message(role="user", content=text), Message(role="assistant", content="Once.")),
    )
    for number, text in enumerate(ASKED, start=1)
]


@pytest.fixture
def forms(shared, tmp_path):
    """The untouched base, and the same with an adapter of random weights."""
    import torch

    from tunewright.config.schema import Lora, ModelConfig
    from tunewright.models.catalogue import resolve
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.adapters import add_adapter
    from tunewright.models.language.description import Identity
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel

    folder = shared / "models" / "stories260K-hf"
    template = tmp_path / "chat.jinja"
    template.write_text(TEMPLATE)
    identity = Identity.of(resolve(ModelConfig(name=str(folder)), base_dir=Path.cwd()))
    chat = open_chat_tokenizer(folder, template=template)
    base = LanguageModel(chat, load_causal(folder, chat), max_length=128, base=identity, source=folder)
    model = add_adapter(load_causal(folder, chat), Lora(), modules=chat.setup.lora_modules, seed=1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(2))
    return base, LanguageModel(chat, model.eval(), max_length=128, method="lora", base=identity)


def certified(model, bound=1e-3):
    return record(model, choose_probes(ROWS, 3), bound=bound, model_digest=model.digest())


def test_adapter_and_base_are_logged_and_open_in_plain_mlflow(forms, tracking):
    import mlflow

    base, tuned = forms
    with execution(tracking, "train") as run:
        logged_base = log_language_model(run, base, certificate=certified(base), role="base")
        logged = log_language_model(run, tuned, certificate=certified(tuned), base=logged_base)
    assert (logged.kind, logged.base_uri) == ("lora", logged_base.uri)
    assert logged.size_bytes < logged_base.size_bytes, "the adapter travels without its base's weights"
    assert is_language_model(tracking, logged.uri)

    again = load_language_model(tracking, logged.uri)
    assert again.losses(ROWS) == tuned.losses(ROWS)
    assert replay(load_language_certificate(tracking, logged.uri), again).max_difference < 1e-4

    plain = mlflow.pyfunc.load_model(logged.uri)
    assert plain.metadata.metadata["task"] == "llm/v1/chat"
    asked = {"messages": [{"role": "user", "content": ASKED[0]}], "max_tokens": 8}
    said = plain.predict(asked)["choices"][0]["message"]["content"]
    row = ChatRow(kind="conversation", messages=(Message(role="user", content=ASKED[0]),))
    assert said == tuned.write([row], max_new_tokens=8)[0].text
    assert plain.predict(asked)["choices"][0]["message"]["content"] == said, "the same at every call"


def test_a_base_that_was_swapped_is_noticed(forms, tracking):
    """Elsewhere a logged adapter reloads on random base weights without a word."""
    import mlflow
    from safetensors.torch import load_file, save_file

    from tunewright.registry.storage import model_folder

    base, tuned = forms
    with execution(tracking, "train") as run:
        logged_base = log_language_model(run, base, certificate=certified(base), role="base")
        logged = log_language_model(run, tuned, certificate=certified(tuned), base=logged_base)
    weights = model_folder(tracking, logged_base.uri) / "artifacts/model/model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor * 1.001 for name, tensor in tensors.items()}, weights)
    with pytest.raises(TunewrightError, match=r"has digest .* the adapter was trained on"):
        load_language_model(tracking, logged.uri)
    with pytest.raises(Exception, match="the adapter was trained on"):
        mlflow.pyfunc.load_model(logged.uri)


def test_nothing_is_logged_when_the_package_answers_otherwise(forms, tracking):
    base, tuned = forms
    with execution(tracking, "train") as run:
        wrong = certified(base)
        logged_base = log_language_model(run, base, certificate=wrong, role="base")
        with pytest.raises(TunewrightError, match="log-probabilities differ by"):
            log_language_model(run, tuned, certificate=wrong, base=logged_base)
    names = [model.name for model in tracking.client.search_logged_models([tracking.experiment_id])]
    assert not any(name.endswith("-tuned") for name in names)


def test_a_template_that_drifts_between_training_and_serving_is_refused(forms, tmp_path):
    from tunewright.models.language.model import LanguageModel

    base, _ = forms
    certificate = certified(base)
    base.save(tmp_path / "saved")
    assert replay(certificate, LanguageModel.load(tmp_path / "saved")).probes == 3
    template = tmp_path / "saved" / "chat_template.jinja"
    template.write_text(template.read_text().replace("A:", "Assistant:"))
    with pytest.raises(TunewrightError, match=r"probe 1 .*the prompt is rendered differently"):
        replay(certificate, LanguageModel.load(tmp_path / "saved"))


def test_a_certificate_notices_other_weights_and_its_own_damage(forms):
    base, tuned = forms
    certificate = certified(base)
    with pytest.raises(TunewrightError, match="log-probabilities differ by"):
        replay(certificate, tuned)
    facts = json.loads(certificate.model_dump_json())
    facts["probes"][0]["token_ids"][-1] += 1
    with pytest.raises(TunewrightError, match="the certificate itself is damaged"):
        replay(type(certificate).model_validate(facts), base)
