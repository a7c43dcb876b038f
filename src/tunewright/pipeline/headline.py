"""The few figures of a report that a table shows, whatever kind of model it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CLASSIFIER = {"accuracy": "accuracy", "f1_macro": "F1 macro"}
LANGUAGE = {
    "exact_match": "exact match",
    "valid": "valid",
    "token_f1": "token F1",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "preferred": "preferred",
    "perplexity": "perplexity",
}

LISTED = ("accuracy", "f1_macro", "exact_match", "preferred", "perplexity")
"""Those that a list of versions has room for."""


def listed(versions: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the figures that any of some versions has, with their headings."""
    known = {name for each in versions for name in each["metrics"]}
    return {
        name: heading for name, heading in (CLASSIFIER | LANGUAGE).items() if name in known and name in LISTED
    }


def columns(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the figures that a report's JSON has for every model, with their headings."""
    named = LANGUAGE if report.get("kind") == "language" else CLASSIFIER
    return {
        name: heading
        for name, heading in named.items()
        if all(isinstance(model["metrics"].get(name), int | float) for model in report["models"])
    }
