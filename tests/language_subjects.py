"""Small language models with their certificates, as engines convert and servers open them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.data.chat.rows import ChatRow, Message

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %} {{ m.content }}"
    "{{ eos_token }}{% endgeneration %}\n{% else %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)
ASKED = (
    "Tell me a story.",
    "Where is the cat?",
    "Who has the red ball, Tom or Lily?",
    "Once upon a time there was a little girl who loved to play in the park with her dog. One day",
)
ROWS = [
    ChatRow(kind="conversation", row=number, messages=(Message(role="user", content=text),))
    for number, text in enumerate(ASKED, start=1)
]


@dataclass(frozen=True)
class Subject:
    """A model with its certificate, as an engine converts it."""

    model: Any
    certificate: Any
    source: Any
    facts: Any

    @property
    def prompts(self):
        return [probe.token_ids for probe in self.certificate.probes]


def make_subject(
    folder: Path, place: Path, *, adapter: float = 0.0, template: str = TEMPLATE, seed: int = 2
) -> Subject:
    """Make a subject of a model folder, with an adapter where asked for."""
    from tunewright.config.schema import ModelConfig
    from tunewright.engines.language_side import language_source
    from tunewright.models.catalogue import resolve
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.description import Identity
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel
    from tunewright.registry.language_certificate import record

    written = place / "chat.jinja"
    written.write_text(template)
    chat = open_chat_tokenizer(folder, template=written)
    base = Identity.of(resolve(ModelConfig(name=str(folder)), base_dir=place))
    graph = load_causal(folder, chat)
    model = LanguageModel(
        chat, adapted(graph, chat, adapter, seed) if adapter else graph, max_length=192, base=base
    )
    certificate = record(model, ROWS, bound=1e-3, model_digest=model.digest())
    prompts = [probe.token_ids for probe in certificate.probes]
    source, facts = language_source(model, place / "source", probes=prompts, bound=1e-3)
    return Subject(model, certificate, source, facts)


def adapted(graph, chat, strength, seed=2, *, magnitudes=False):
    """Give a model an adapter of random weights."""
    import torch

    from tunewright.config.schema import Lora
    from tunewright.models.language.adapters import add_adapter

    model = add_adapter(
        graph, Lora(dropout=0.0), modules=chat.setup.lora_modules, seed=1, magnitudes=magnitudes
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, strength, generator=random)
    return model.eval()
