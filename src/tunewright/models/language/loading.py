"""Loading a causal language model: whole, checked, and in the precision that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.models.language.quantised import (
    Loading,
    keep_gradients_right,
    quantisation,
)
from tunewright.models.loading import MEND, read_config, seeded
from tunewright.models.tokenizers import quiet_transformers
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from tunewright.models.chat.tokenizer import ChatTokenizer


def load_causal(
    folder: Path,
    chat: ChatTokenizer | None = None,
    *,
    load_in: Loading = "full",
    dtype: torch.dtype | None = None,
    trust_remote_code: bool = False,
) -> Any:  # noqa: ANN401
    """Load a causal model in evaluation mode, with embeddings for every token of its tokenizer.

    Args:
        folder: A Transformers folder.
        chat: Its tokenizer; it may need more rows of embeddings than the files have.
        load_in: ``full``, or how its linear layers are held.
        dtype: Of the other weights, and of products with quantised ones; float32 by default.
        trust_remote_code: Whether to run code that comes with the model.

    Raises:
        InputError: When Transformers has no causal model for the architecture, the files don't fit the
            configuration, or hold numbers that aren't finite.
        MissingExtraError: When bitsandbytes is asked for and not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM

    settings = read_config(folder, trust_remote_code=trust_remote_code)
    require_causal(settings, folder, trust_remote_code=trust_remote_code)
    dtype = dtype or torch.float32
    load: Any = AutoModelForCausalLM.from_pretrained
    held = None if load_in == "full" else quantisation(load_in, compute_dtype=dtype)
    try:
        with quiet_transformers():
            model, found = load(
                folder,
                config=settings,
                dtype=dtype,
                quantization_config=held,
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
            )
    except (ValueError, OSError, RuntimeError, KeyError, ImportError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"can't be loaded ({first[:200]})", place=str(folder), mend=MEND) from error
    absent = sorted(map(str, {*found["missing_keys"], *found["mismatched_keys"]}))
    if absent:
        raise InputError(
            f"the weight files lack {len(absent)} tensors or have them in another shape (such as {absent[0]})",
            place=str(folder),
            mend="config.json and weights must be of one model: " + MEND,
        )
    require_finite(model, folder)
    keep_gradients_right(model)
    if chat is not None:
        settle_tokens(model, chat)
    return model.eval()


def require_causal(settings: Any, folder: Path, *, trust_remote_code: bool) -> None:  # noqa: ANN401
    """Refuse an architecture that doesn't write."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    own_code = "AutoModelForCausalLM" in (getattr(settings, "auto_map", None) or {})
    names = settings.architectures or ("ForCausalLM",)
    # Encoders such as BERT have a causal class as well, which nobody trained.
    writes = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    if (settings.model_type in KNOWN and writes) or (own_code and trust_remote_code):
        return
    mend = (
        "it brings its own code: read it, then set model.trust_remote_code=true"
        if own_code
        else "take a language model such as smollm2-135m or qwen2.5-0.5b, or set training.objective=classification"
    )
    raise InputError(f"'{settings.model_type}' is no causal language model", place=str(folder), mend=mend)


def require_finite(model: Any, folder: Path) -> None:  # noqa: ANN401
    """Refuse weights that are infinite or not a number."""
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not weight.detach().float().sum().isfinite():
            raise InputError(f"tensor {name} holds numbers that aren't finite", place=str(folder), mend=MEND)


def settle_tokens(model: Any, chat: ChatTokenizer) -> None:  # noqa: ANN401
    """Give the model rows for tokens that its files lack, and tell it where to stop."""
    setup = chat.setup
    if setup.rows_needed is not None:
        with seeded(0):
            model.resize_token_embeddings(setup.rows_needed, mean_resizing=False)
    model.config.pad_token_id = setup.pad_id
    generation = getattr(model, "generation_config", None)
    if generation is None:  # a model that doesn't write
        return
    generation.pad_token_id = setup.pad_id
    if setup.stop_ids:
        generation.eos_token_id = list(setup.stop_ids)
