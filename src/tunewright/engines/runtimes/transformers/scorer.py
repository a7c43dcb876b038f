"""A classifier on torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.runtimes.graph import open_graph
from tunewright.models.inference import exact_matmul
from tunewright.support.files import read_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class TransformersScorer:
    """The model as Transformers runs it, in fp32 (exact products) or in bf16.

    Args:
        folder: The copy.
        precision: ``fp32`` or ``bf16``.
        threads: Of torch, for the whole process.
    """

    lanes = 1

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        labels = len(read_json(folder / "config.json")["id2label"])
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.prefers_few_shapes = precision == "bf16" and self._device == "cpu"  # oneDNN's; fp32 is MKL's
        self._graph = open_graph(folder, labels, dtype).to(self._device)

    def score(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score one batch (see ``Scorer``)."""
        import torch

        tokens, seen = (torch.from_numpy(each).to(self._device) for each in (ids, mask))
        with torch.inference_mode(), exact_matmul():
            logits, features = self._graph(tokens, seen)
        return logits.float().cpu().numpy(), features.float().cpu().numpy()

    def close(self) -> None:
        """Let the weights go."""
        del self._graph
