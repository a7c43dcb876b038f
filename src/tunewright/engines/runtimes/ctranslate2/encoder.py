"""Classifiers on CTranslate2: its encoder, and the head as two products beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.text_side import TOKENIZER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.interface import Source

HEAD = "head.safetensors"
HEAD_WEIGHTS = ("pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias")
COMPUTE_TYPES = {"fp32": "float32", "int8": "int8_float32"}


def convert_encoder(source: Source, precision: str, folder: Path) -> None:
    """Convert a DistilBERT classifier: encoder by CTranslate2, head as safetensors."""
    from ctranslate2.converters import TransformersConverter
    from safetensors import safe_open
    from safetensors.numpy import save_file

    converter = TransformersConverter(str(source.folder), low_cpu_mem_usage=True)
    converter.convert(str(folder), quantization=COMPUTE_TYPES[precision], force=True)
    with safe_open(source.folder / "model.safetensors", framework="numpy") as weights:
        save_file({name: weights.get_tensor(name) for name in HEAD_WEIGHTS}, folder / HEAD)
    shutil.copy2(source.folder / TOKENIZER, folder / TOKENIZER)


class CTranslate2Scorer:
    """CTranslate2's encoder with one worker a thread, and the head.

    Args:
        folder: The copy.
        precision: ``fp32`` or ``int8``.
        threads: Workers, one thread each.
    """

    prefers_few_shapes = False

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        import ctranslate2
        from safetensors.numpy import load_file

        self.lanes = threads
        self._encoder = ctranslate2.Encoder(
            str(folder), compute_type=COMPUTE_TYPES[precision], inter_threads=threads, intra_threads=1
        )
        head = load_file(folder / HEAD)
        self._inner, self._inner_bias, self._outer, self._outer_bias = (head[name] for name in HEAD_WEIGHTS)

    def score(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score one batch (see ``Scorer``)."""
        import ctranslate2
        import numpy as np

        found = self._encoder.forward_batch(
            ctranslate2.StorageView.from_array(ids.astype(np.int32)),
            ctranslate2.StorageView.from_array(mask.sum(axis=1, dtype=np.int32)),
        )
        first = np.array(found.last_hidden_state)[:, 0]
        features = np.maximum(first @ self._inner.T + self._inner_bias, 0)
        return features @ self._outer.T + self._outer_bias, features

    def close(self) -> None:
        """Let the model go."""
        self._encoder.unload_model()
