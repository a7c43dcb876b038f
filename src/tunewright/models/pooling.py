"""Mean pooling for bases that were trained for it, as one more layer of the architecture that they have.

Sentence encoders such as all-MiniLM-L6-v2 put a text's meaning into the mean of its token vectors, while
``BertForSequenceClassification`` reads the first token's alone: of what the base knows, much is out of reach. Both are
reconciled by a layer whose attention starts out uniform and whose values are the token vectors: its first token then
holds the mean. The result is a plain BERT with one layer more, which every tool opens.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

MEAN_WEIGHT = 10.0
"""How much the mean outweighs the first token's own vector, which the layer's residual connection adds."""
DECLARATION = Path("1_Pooling") / "config.json"
"""Where Sentence Transformers say how their model pools."""


def wants_mean_pooling(folder: Path, settings: Any) -> bool:  # noqa: ANN401
    """Tell whether a base was trained with mean pooling and its architecture can take the layer.

    Args:
        folder: The model's files.
        settings: Its Transformers configuration.
    """
    path = folder / DECLARATION
    if settings.model_type != "bert" or not path.is_file():
        return False
    declared = json.loads(path.read_text(encoding="utf-8"))
    return bool(declared.get("pooling_mode_mean_tokens")) or declared.get("pooling_mode") == "mean"


def add_mean_pooling(model: Any) -> None:  # noqa: ANN401
    """Append the layer to a BERT classifier.

    Queries are zero, so attention is uniform over the text's tokens; values are the token vectors, weighed; the
    feed-forward part adds nothing. Each of these can move away from its start when it is trained.
    """
    import torch

    layers = model.bert.encoder.layer
    last = copy.deepcopy(layers[-1])
    attention = last.attention
    with torch.no_grad():
        for linear in (attention.self.query, attention.self.value, attention.output.dense, last.output.dense):
            linear.weight.zero_()
            linear.bias.zero_()
        attention.self.value.weight.fill_diagonal_(1.0)
        attention.output.dense.weight.fill_diagonal_(MEAN_WEIGHT)
        for norm in (attention.output.LayerNorm, last.output.LayerNorm):
            norm.weight.fill_(1.0)
            norm.bias.zero_()
    if hasattr(attention.self, "layer_idx"):
        attention.self.layer_idx = len(layers)
    layers.append(last)
    model.config.num_hidden_layers = len(layers)
