"""A classifier as one traceable function: token ids and mask in, logits and features out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.models.heads import output_layer


def open_graph(folder: Path, labels: int, dtype: Any = None) -> Any:  # noqa: ANN401
    """Open a saved classifier as a torch module for export or for scoring.

    Args:
        folder: A plain Transformers classifier.
        labels: Its outputs.
        dtype: Of the weights; float32 by default.

    Returns:
        A ``torch.nn.Module`` in evaluation mode: ``(ids, mask) -> (logits, features)``.
    """
    import torch
    from torch import nn
    from transformers import AutoModelForSequenceClassification

    from tunewright.models.tokenizers import quiet_transformers

    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=dtype or torch.float32, attn_implementation="eager", local_files_only=True
        )
    name, layer = output_layer(model, labels)
    parent = model.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Identity())

    class Graph(nn.Module):
        """The model up to its last layer, and that layer."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.layer = layer

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = self.model(input_ids=ids, attention_mask=mask).logits
            return self.layer(features), features

    return Graph().eval()
