"""The untouched base model with a head fitted on its frozen features: the fair baseline for fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunewright.models.classifier import Classifier
from tunewright.models.heads import head_names, is_head_weight, output_layer, without_layer
from tunewright.models.inference import score_ids
from tunewright.models.loading import load_encoder, seeded
from tunewright.models.tokenizers import load_tokenizer, text_limit
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.config.schema import ModelConfig
    from tunewright.data.dataset import Examples
    from tunewright.models.catalogue import Base

IMBALANCE = 10
"""Classes are weighed when the largest has this many times the rows of the smallest, as in training."""
MAX_ITERATIONS = 1000
INVERSE_REGULARISATION = 0.1
"""scikit-learn's C on standardised features: the best or next to it on the data of docs/models.md."""
ROTATION_GAIN = 0.1
POOLER_GAIN = 0.4
"""BERT's pooler ends in tanh, linear around zero; at this scale its weights are as large as those that BERT draws."""
ROTATION_BIAS = 0.15
"""Four standard deviations of MiniLM's rotated features: few are cut by ReLU, and rounding stays small."""
ABSENT = -20.0
"""Logit of a label without training rows: a probability of about 2e-9."""


def fit_head(
    base: Base,
    train: Examples,
    label_names: Sequence[str],
    config: ModelConfig,
    *,
    seed: int,
    cleaning: Mapping[str, object],
) -> Classifier:
    """Fit only the last layer of a classifier; every other weight stays as the base has it.

    Each text passes through the model once. Logistic regression on the standardised inputs of the last layer
    (a convex problem: one answer, no learning rate to choose) gives its weights, with the standardisation
    folded in, so that the result is a plain classifier. The layers between encoder and last layer (BERT's
    pooler, RoBERTa's dense layer …) hand the features on, turned by a rotation drawn from the seed: a pooler
    that was trained for another end, or one at random, would make the base look worse than it is
    (docs/models.md).

    Args:
        base: The base model.
        train: Training rows.
        label_names: Position is the class id.
        config: The recipe's model section.
        seed: Draws the rotation.
        cleaning: ``Cleaning.model_dump()``.

    Raises:
        InputError: When the rows have fewer than two labels.
    """
    if len(set(train.labels)) < 2:  # noqa: PLR2004  (one label leaves nothing to tell apart)
        raise InputError(
            "the training rows have one label only", place="data", mend="add rows of another label"
        )
    model = load_encoder(base, label_names, config, seed=seed)
    tokenizer = load_tokenizer(base, config)
    limit = text_limit(model.config, tokenizer, config)
    classifier = Classifier(tokenizer, model, label_names, limit, cleaning, base=base)
    _draw_layers_between(model, seed)
    name, layer = output_layer(model, len(label_names))
    ids = classifier.encode(train.texts)
    with without_layer(model, name):
        features = score_ids(
            model,
            ids,
            outputs=layer.in_features,
            pad_id=tokenizer.pad_token_id,
            padding_side=tokenizer.padding_side,
        )
    weight, bias = logistic_regression(features, train.labels, len(label_names))
    _write(layer, weight, bias, features)
    return classifier


def _draw_layers_between(model: Any, seed: int) -> None:  # noqa: ANN401
    """Make the head's linear layers a small rotation beside a small positive bias; the last one is fitted soon after.

    There every usual activation (tanh, ReLU, GELU) is nearly linear, so little of the features is lost.
    """
    import torch
    from torch import nn

    heads = head_names(model)
    with torch.no_grad(), seeded(seed):
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) and is_head_weight(name, heads):
                pooler = name.endswith("pooler.dense")
                nn.init.orthogonal_(module.weight, gain=POOLER_GAIN if pooler else ROTATION_GAIN)
                if module.bias is not None:
                    module.bias.fill_(0.0 if pooler else ROTATION_BIAS)


def logistic_regression(
    features: npt.NDArray[np.float32], labels: Sequence[int], classes: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit the last layer of a classifier on the features that enter it.

    Args:
        features: Float32 (rows, width), as the encoder gives them; they are standardised for the fit.
        labels: Class ids.
        classes: How many there are; those without rows get a bias that makes them all but impossible.

    Returns:
        Weights (classes, width) and biases (classes,) for the raw features.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    counts = np.bincount(labels, minlength=classes)
    present = counts[counts > 0]
    weighed = "balanced" if present.max() >= IMBALANCE * present.min() else None
    fitted = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS, class_weight=weighed)
    fitted.fit((features - mean) / scale, np.asarray(labels))
    slopes, offsets = fitted.coef_, fitted.intercept_
    if len(slopes) == 1:  # Two classes come as one row of log-odds: half to each side gives the same softmax.
        slopes, offsets = np.vstack([-slopes, slopes]) / 2, np.concatenate([-offsets, offsets]) / 2
    weight = np.zeros((classes, features.shape[1]))
    bias = np.full(classes, ABSENT)
    weight[fitted.classes_] = slopes / scale
    bias[fitted.classes_] = offsets - weight[fitted.classes_] @ mean
    return weight, bias


def _write(
    layer: Any,  # noqa: ANN401
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    features: npt.NDArray[np.float32],
) -> None:
    """Put the fitted weights into the last layer."""
    import torch

    if layer.bias is None:
        weight = _without_bias(weight, bias, features)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))


def _without_bias(
    weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64], features: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Express biases through the features, by least squares, for layers that have none (decoders)."""
    import numpy as np

    direction, *_ = np.linalg.lstsq(features.astype(np.float64), np.ones(len(features)), rcond=None)
    return weight + np.outer(bias, direction)
