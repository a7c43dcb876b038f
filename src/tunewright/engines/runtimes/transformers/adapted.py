"""A causal model on torch with low-rank adapters beside it, a different one for each row of a batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.models.inference import exact_matmul
from tunewright.models.language.storage import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

BASE = "__base__"
"""PEFT's name for a row without an adapter."""
MEND = "give it a worker of its own (--beside)"


class AdaptedModel:
    """A base, and what PEFT mixes into it.

    Args:
        plain: A Transformers causal model in evaluation mode. Its layers are wrapped in place as soon as there is an
            adapter, so it must be called through ``logits`` only.
    """

    def __init__(self, plain: Any) -> None:  # noqa: ANN401
        self.plain = plain
        self._mixed: Any = None
        """PEFT's model around it; None while there is no adapter."""
        self._keys: dict[str, str] = {}
        """Adapters by name, as PEFT knows them: its own names may hold no dot."""
        self._numbers = count(1)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.plain.device
        return device

    def logits(self, adapters: Sequence[str], **inputs: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401
        """Run the model.

        Args:
            adapters: The name of each row's adapter, empty for the base; none at all: the base for all rows.
            inputs: As Transformers takes them.

        Returns:
            Logits (rows, tokens, vocabulary).
        """
        import torch

        with torch.inference_mode(), exact_matmul():
            if self._mixed is None:
                logits = self.plain(**inputs).logits
            else:
                rows = len(inputs["input_ids"])
                names = [self._keys[name] if name else BASE for name in adapters or [""] * rows]
                logits = self._mixed(**inputs, adapter_names=names).logits
        found: npt.NDArray[np.float32] = logits.float().cpu().numpy()
        return found

    def bring(self, name: str, folder: Path) -> None:
        """Read an adapter; one that can't be used leaves nothing behind.

        Args:
            name: What rows call it.
            folder: ``adapter_config.json`` and ``adapter_model.safetensors``.

        Raises:
            InputError: When it is damaged, doesn't fit the base, or can't be mixed with others.
        """
        from peft import LoraConfig, PeftConfig, get_peft_model
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        key = f"adapter_{next(self._numbers)}"
        self.forget(name)
        try:
            settings: Any = PeftConfig.from_pretrained(str(folder))
            weights = load_file(folder / ADAPTER_WEIGHTS)
            if not isinstance(settings, LoraConfig):
                raise InputError("is no low-rank adapter", place=str(folder / ADAPTER_CONFIG), mend=MEND)
            settings.inference_mode = True
            settings.init_lora_weights = True  # they come from the file: the base must stay as it is
            settings.base_model_name_or_path = None  # the copy's digests say more of the base than a path
            self._keys[name] = key
            if self._mixed is None:
                self._mixed = get_peft_model(self.plain, settings, adapter_name=key)
            else:
                self._mixed.add_adapter(key, settings)
            self._fill(key, weights, folder)
        except (SafetensorError, RuntimeError, ValueError, OSError, TypeError, KeyError) as error:
            self.forget(name)
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"can't be read ({first[:200]})", place=str(folder), mend=MEND) from error
        except InputError:
            self.forget(name)
            raise

    def forget(self, name: str) -> None:
        """Give an adapter's memory back; one that isn't there is no error."""
        key = self._keys.pop(name, None)
        if key is None or self._mixed is None:
            return
        if set(self._mixed.peft_config) == {key}:
            self.plain = self._mixed.unload()
            self._mixed = None
        elif key in self._mixed.peft_config:
            with warnings.catch_warnings():  # of another one that it makes active: rows name theirs
                warnings.simplefilter("ignore")
                self._mixed.delete_adapter(key)

    def _fill(self, key: str, weights: dict[str, torch.Tensor], folder: Path) -> None:
        """Give an adapter its weights, and see that each has its place and none was left out."""
        from peft import get_peft_model_state_dict, set_peft_model_state_dict
        from peft.tuners.tuners_utils import BaseTunerLayer

        set_peft_model_state_dict(self._mixed, weights, adapter_name=key)
        held = get_peft_model_state_dict(self._mixed, adapter_name=key, save_embedding_layers=False)
        if unlike := sorted(set(held) ^ set(weights)):
            what = f"{len(unlike)} tensors are missing or too many (such as {unlike[0]})"
            raise InputError(what, place=str(folder / ADAPTER_WEIGHTS), mend=MEND)
        if isinstance(self.plain.get_output_embeddings(), BaseTunerLayer):
            raise InputError("changes the output layer", place=str(folder / ADAPTER_CONFIG), mend=MEND)
        self._mixed.eval()
