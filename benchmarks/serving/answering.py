"""How the strange servers answer: with Transformers as a user would, or with the same converted copy as ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sms_model import LABELS, MAX_LENGTH

BATCH = 32
"""Texts of a batch, at most."""
WAIT_S = 0.005
"""How long a batch waits for more texts."""


def opened(kind: str, folder: str) -> Callable[[list[str]], list[str]]:
    """Open a model; return what gives the label of each text.

    Args:
        kind: ``copy``: our converted copy; ``transformers``: the model as it was trained.
        folder: Of the one or the other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if kind == "copy":
        from tunewright.engines.copies import open_classifier

        model = open_classifier(Path(folder), threads=cores)
        return lambda texts: [each.label for each in model.classify(texts)]
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(cores)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def answer(texts: list[str]) -> list[str]:
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            return [LABELS[at] for at in plain(**inputs).logits.argmax(dim=1).tolist()]

    return answer
