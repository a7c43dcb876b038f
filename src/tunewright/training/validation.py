"""One pass over the validation rows: what each epoch is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunewright.evaluation.metrics import Metrics, score
from tunewright.training.journal import metric_names
from tunewright.training.plan import FORWARD_ROWS

if TYPE_CHECKING:
    import numpy as np

    from tunewright.training.preparation import Prepared


def log_probabilities(prepared: Prepared) -> np.ndarray:
    """Return the log-probabilities of every validation row in its given order, float32 (rows, labels).

    The model's mode, training or evaluation, is put back afterwards.
    """
    import numpy as np
    import torch

    model, rows, device = prepared.model, prepared.validation, prepared.hardware.device
    order = np.argsort(-rows.lengths, kind="stable")
    found: list[torch.Tensor] = []
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(order), FORWARD_ROWS):
            batch = prepared.padding([rows[int(position)] for position in order[at : at + FORWARD_ROWS]])
            del batch["labels"]
            for piece in prepared.pieces(batch):
                inputs = {name: tensor.to(device) for name, tensor in piece.items()}
                found.append(torch.log_softmax(model(**inputs).logits.float(), dim=-1).cpu())
    model.train(was_training)
    values: np.ndarray = np.empty((len(rows), found[0].shape[1]), dtype=np.float32)
    values[order] = torch.cat(found).numpy()
    return values


def validate(labels: Sequence[int], values: np.ndarray, label_names: Sequence[str], *, bins: int) -> Metrics:
    """Measure log-probabilities of the validation rows."""
    import numpy as np

    return score(np.asarray(labels), values, label_names, bins=bins)


def validation_figures(metrics: Metrics, label_names: Sequence[str]) -> dict[str, float]:
    """Return the figures of an epoch under names that MLflow takes, such as ``validation/f1/spam``."""
    figures = {
        "validation/loss": metrics.log_loss,
        "validation/accuracy": metrics.accuracy,
        "validation/balanced_accuracy": metrics.balanced_accuracy,
        "validation/f1_macro": metrics.f1_macro,
        "validation/precision_macro": metrics.precision_macro,
        "validation/recall_macro": metrics.recall_macro,
    }
    by_label: tuple[tuple[str, Mapping[str, float]], ...] = (
        ("f1", metrics.f1),
        ("precision", metrics.precision),
        ("recall", metrics.recall),
    )
    for kind, values in by_label:
        names = metric_names(f"validation/{kind}", label_names)
        figures |= {names[label]: values[label] for label in label_names}
    return figures
