"""Loading a base model as a sequence classifier in fp32, with a head that depends on nothing but the seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.models.checkpoints import read_tensor
from tunewright.models.heads import head_names, is_head_weight
from tunewright.models.inference import score_ids
from tunewright.models.pooling import add_mean_pooling, wants_mean_pooling
from tunewright.models.tokenizers import load_tokenizer, quiet_transformers
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.schema import ModelConfig
    from tunewright.models.catalogue import Base

MEND = "download or save the model again"
MIN_LABELS = 2
PADDING_BOUND = 1e-4
"""Largest share by which padding may move a logit: rounding moves it by 3e-6, a missing mask by 1e-3 and more."""
PROBE_TOKENS = 3
LONGER = 8
SMALLEST_LOGIT = 1e-6
INITIAL_STD = 0.02
"""BERT's, for architectures whose configuration names none."""


def load_encoder(base: Base, label_names: Sequence[str], config: ModelConfig, *, seed: int) -> Any:  # noqa: ANN401
    """Load a base model with a classification head for these labels.

    The head is the checkpoint's own when it was made for the same label names in the same order; else it is
    drawn from ``seed``. The weights are fp32 and attention is the plain ("eager") code, which is the fastest
    for short texts on a CPU (docs/models.md).

    Returns:
        A Transformers model for sequence classification, in evaluation mode, with label names and the
        tokenizer's padding id in its configuration.

    Raises:
        InputError: When Transformers has no classifier for the architecture, the files don't fit the
            configuration, hold numbers that aren't finite, or answers depend on padding.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    if len(label_names) < MIN_LABELS:
        raise InputError(
            "a classifier needs at least two labels", place="data", mend="add rows of another label"
        )
    settings = read_config(base.folder, trust_remote_code=config.trust_remote_code)
    _require_classifier(settings, base, config)
    same_labels = _has_labels(settings, label_names)
    settings.id2label = dict(enumerate(label_names))
    settings.label2id = {name: number for number, name in enumerate(label_names)}
    settings.problem_type = "single_label_classification"
    tokenizer = load_tokenizer(base, config)
    settings.pad_token_id = tokenizer.pad_token_id
    try:
        with quiet_transformers(), seeded(seed):
            model, found = AutoModelForSequenceClassification.from_pretrained(
                base.folder,
                config=settings,
                dtype=torch.float32,
                attn_implementation="eager",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                trust_remote_code=config.trust_remote_code,
                local_files_only=True,
            )
            if not same_labels:
                _draw_output_layer(model, len(label_names))
    except (ValueError, OSError, RuntimeError, KeyError, ImportError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"can't be loaded ({first})", place=str(base.folder), mend=MEND) from error
    _require_whole(model, _restore_tied_embeddings(model, found, base), base)
    _require_finite(model, base)
    if wants_mean_pooling(base.folder, model.config):
        add_mean_pooling(model)
    model.eval()
    _require_padding_ignored(model, base, tokenizer.padding_side)
    return model


def read_config(folder: Path, *, trust_remote_code: bool = False) -> Any:  # noqa: ANN401
    """Return the Transformers configuration of a model folder.

    Raises:
        InputError: When this version of Transformers doesn't know the model type, or the values make no sense.
    """
    from transformers import AutoConfig

    from tunewright.models.checkpoints import read_settings

    kind = read_settings(folder)["model_type"]
    try:
        with quiet_transformers():
            return AutoConfig.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:
        if "trust_remote_code" in str(error):
            fact, mend = "brings its own code", "read it, then set model.trust_remote_code=true"
        else:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            fact, mend = (
                f"the configuration of type '{kind}' can't be used ({first[:200]})",
                "take another base",
            )
        raise InputError(fact, place=str(folder), mend=mend) from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw PyTorch's random numbers from ``seed`` inside, and leave the process's own sequence untouched."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _require_classifier(settings: Any, base: Base, config: ModelConfig) -> None:  # noqa: ANN401
    """Refuse an architecture for which there is no classifier."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as KNOWN,
    )

    own_code = "AutoModelForSequenceClassification" in (getattr(settings, "auto_map", None) or {})
    if settings.model_type in KNOWN or (own_code and config.trust_remote_code):
        return
    if own_code:
        mend = "it brings its own code: read it, then set model.trust_remote_code=true"
    else:
        mend = "take an encoder such as minilm, distilbert or modernbert"
    raise InputError(
        f"Transformers has no text classifier for '{settings.model_type}' ({base.architecture})",
        place=base.name,
        mend=mend,
    )


def _has_labels(settings: Any, label_names: Sequence[str]) -> bool:  # noqa: ANN401
    """Tell whether a checkpoint was made for these labels in this order."""
    found = {int(number): name for number, name in (settings.id2label or {}).items()}
    return found == dict(enumerate(label_names))


def _draw_output_layer(model: Any, labels: int) -> None:  # noqa: ANN401
    """Give the last layer fresh weights: the checkpoint's were made for other labels, even if for as many."""
    import torch

    from tunewright.models.heads import output_layer

    _, layer = output_layer(model, labels)
    with torch.no_grad():
        layer.weight.normal_(mean=0.0, std=getattr(model.config, "initializer_range", None) or INITIAL_STD)
        if layer.bias is not None:
            layer.bias.zero_()


def _restore_tied_embeddings(model: Any, found: Mapping[str, Any], base: Base) -> Mapping[str, Any]:  # noqa: ANN401
    """Fill input embeddings that a file holds only as a language model's output layer.

    With tied weights, files may store the pair under the output's name; a classifier has no such layer, so
    Transformers drops the tensor and leaves the embeddings at random.
    """
    import torch

    embeddings = model.get_input_embeddings().weight
    names = {name for name, weight in model.named_parameters() if weight is embeddings}
    absent = names & set(found["missing_keys"])
    if not absent or not getattr(model.config, "tie_word_embeddings", True):
        return found
    for name in sorted(found["unexpected_keys"]):
        tensor = read_tensor(base.folder, name)
        if tensor is not None and tensor.shape == embeddings.shape:
            with torch.no_grad():
                embeddings.copy_(tensor)
            return {**found, "missing_keys": set(found["missing_keys"]) - absent}
    return found


def _require_whole(model: Any, found: Mapping[str, Any], base: Base) -> None:  # noqa: ANN401
    """Refuse files that leave part of the encoder at random: Transformers only prints a note about it."""
    heads = head_names(model)
    mismatched = [name if isinstance(name, str) else name[0] for name in found["mismatched_keys"]]
    absent = [name for name in (*found["missing_keys"], *mismatched) if not is_head_weight(name, heads)]
    if absent:
        raise InputError(
            f"the weight files lack {len(absent)} tensors of the encoder or have them in another shape "
            f"(such as {sorted(absent)[0]})",
            place=str(base.folder),
            mend="config.json and weights must be of one model: " + MEND,
        )


def _require_finite(model: Any, base: Base) -> None:  # noqa: ANN401
    """Refuse weights that are infinite or not a number."""
    for name, weight in model.named_parameters():
        if not weight.detach().sum().isfinite():
            raise InputError(
                f"tensor {name} holds numbers that aren't finite", place=str(base.folder), mend=MEND
            )


def _require_padding_ignored(model: Any, base: Base, padding_side: str) -> None:  # noqa: ANN401
    """Refuse a model whose answer to a text depends on the longer text beside it."""
    import numpy as np

    pad, end = model.config.pad_token_id, getattr(model.config, "eos_token_id", None)
    ordinary = (number for number in count(1) if number not in {pad, end})
    body = list(islice(ordinary, PROBE_TOKENS))
    embedded = model.get_input_embeddings().num_embeddings
    ending = [end] if isinstance(end, int) and end < embedded else []
    short, long = body + ending, body * LONGER + ending
    outputs = int(model.config.num_labels)
    alone = score_ids(model, [short], outputs=outputs, pad_id=pad, padding_side=padding_side)
    beside = score_ids(model, [short, long], outputs=outputs, pad_id=pad, padding_side=padding_side)[:1]
    moved = float(np.abs(alone - beside).max() / max(np.abs(alone).max(), SMALLEST_LOGIT))
    if moved > PADDING_BOUND:
        raise InputError(
            f"answers of {base.architecture} change with padding (by {moved:.2%})",
            place=base.name,
            mend="take an encoder that honours the attention mask",
        )
