"""A tiny classifier with an adapter, its certificate, and its copies on every engine, made once a session."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

LABELS = ("complaint", "order", "question")


@dataclass(frozen=True)
class Made:
    """A model, what it answered, and how it is converted."""

    classifier: object
    certificate: object
    source: object
    facts: object
    texts: tuple[str, ...]
    cache: Path

    def convert(self, word: str, **changed):
        """Convert to a form; what is changed makes another, wrong model."""
        from tunewright.engines.conversion import convert
        from tunewright.engines.interface import Form

        source = changed.get("source", self.source)
        return convert(
            source,
            Form.parse(word),
            changed.get("cache", self.cache),
            calibration=self.classifier.encode(self.texts[:60]),
            text=changed.get("facts", self.facts),
        )


def trained(kind: str, tokenizer, texts, truth):
    """Train an architecture on labels, then an adapter on others: without it, the answers are other ones."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForSequenceClassification, set_seed

    sizes = {
        "bert": {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 128,
        },
        "distilbert": {"dim": 64, "n_layers": 2, "n_heads": 1, "hidden_dim": 128},
    }
    set_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={name: at for at, name in enumerate(LABELS)},
        **sizes[kind],
    )
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    fit(model, tokenizer, texts, truth)
    targets = ["q_lin", "v_lin", "lin1"] if kind == "distilbert" else ["query", "value"]
    settings = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=32, target_modules=targets)
    adapted = get_peft_model(model, settings)
    fit(adapted, tokenizer, texts, [(label + 1) % len(LABELS) for label in truth])
    return adapted.eval()


def fit(model, tokenizer, texts, truth, *, steps: int = 100, rows: int = 32) -> None:
    """Train what may be trained for some steps."""
    import torch

    torch.set_num_threads(1)
    model.train()
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-3)
    for step in range(steps):
        at = [(step * rows + row) % len(texts) for row in range(rows)]
        batch = tokenizer(
            [texts[row] for row in at], padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        batch.pop("token_type_ids", None)
        model(**batch, labels=torch.tensor([truth[row] for row in at])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture(scope="session", autouse=True)
def in_this_process():
    """Run children's work in this process, where the libraries are loaded once; test_optimize.py uses real children."""
    from tunewright.engines import child, conversion

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "run_child", lambda _, job, **__: child.convert(job))
        yield


@pytest.fixture(scope="session")
def make_engine_model(tiny_base, messages, tmp_path_factory):
    """Return a function that makes a model of an architecture, once a session."""
    from transformers import AutoTokenizer

    from tunewright.config.data import Cleaning
    from tunewright.engines.conversion import classifier_source
    from tunewright.engines.text_side import TextFacts
    from tunewright.models.classifier import Classifier
    from tunewright.registry.certificate import choose_probes, record

    made: dict[str, Made] = {}
    pairs = [(row["text"], row["intent"]) for row in csv.DictReader(io.StringIO(messages))]
    texts = tuple(text for text, _ in pairs)
    intents = sorted({intent for _, intent in pairs})
    truth = [intents.index(intent) % len(LABELS) for _, intent in pairs]

    def make(kind: str) -> Made:
        if kind not in made:
            tokenizer = AutoTokenizer.from_pretrained(tiny_base)
            cleaning = Cleaning().model_dump()
            classifier = Classifier(tokenizer, trained(kind, tokenizer, texts, truth), LABELS, 64, cleaning)
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = Made(
                classifier,
                record(classifier, choose_probes(texts, 12), bound=1e-3),
                classifier_source(classifier, folder / "source"),
                TextFacts.of(classifier),
                texts,
                folder / "cache",
            )
        return made[kind]

    return make


@pytest.fixture(scope="session")
def encoder(make_engine_model) -> Made:
    """A DistilBERT with an adapter, which every engine can read."""
    return make_engine_model("distilbert")
