"""Classifiers on OpenVINO: traced, quantised on real texts, run in as many streams as there are threads."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.batching import padded
from tunewright.engines.runtimes.graph import open_graph
from tunewright.engines.runtimes.openvino.quiet import without_telemetry
from tunewright.engines.text_side import TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.interface import Source

MODEL = "model.xml"
CALIBRATION_ROWS = 300
"""NNCF's own default number of samples."""


def convert_encoder(
    source: Source, precision: str, folder: Path, calibration: Sequence[Sequence[int]]
) -> None:
    """Trace a classifier and write it, quantised where the precision says so.

    int8 is static: ranges of activations are taken from ``calibration``, so that a row's answer doesn't depend on
    what else is in its batch (dynamic quantisation takes them from the batch).
    """
    without_telemetry()
    import openvino
    import torch

    graph = open_graph(source.folder, source.labels)
    pad = int(source.config.get("pad_token_id") or 0)
    sample = [list(row) for row in calibration[:2]] or [[pad, pad, pad], [pad, pad]]
    example = tuple(torch.from_numpy(each) for each in padded(sample, pad))
    with torch.no_grad():
        model = openvino.convert_model(graph, example_input=example)
    for at, name in enumerate(("ids", "mask")):
        model.inputs[at].get_tensor().set_names({name})
        model.inputs[at].get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
    model.validate_nodes_and_infer_types()
    if precision.startswith("int8"):
        model = _quantised(model, calibration, pad)
    openvino.save_model(model, folder / MODEL, compress_to_fp16=False)
    shutil.copy2(source.folder / TOKENIZER, folder / TOKENIZER)


def _quantised(model: Any, calibration: Sequence[Sequence[int]], pad: int) -> Any:  # noqa: ANN401
    """Quantise weights and activations by NNCF's post-training quantisation for transformers."""
    import nncf

    rows = [padded([list(row)], pad) for row in calibration[:CALIBRATION_ROWS]]
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
    )


KERNELS = "200"
"""Kernels that each stream keeps for shapes that it has seen. With the library's 5,000 a server of a DistilBERT grew by
2 GiB a stream within 600 batches; with so many by 0.4 GiB, and it is 5 % slower when every batch has another shape."""


class OpenVINOScorer:
    """The compiled model, one stream a thread: several short batches at once beat one on all threads.

    Args:
        folder: The copy.
        precision: Of ``OpenVINOEngine.precisions``.
        threads: Streams, one thread each.
    """

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        import numpy as np
        import openvino

        settings = {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision.endswith("bf16") else "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": KERNELS,
        }
        self.lanes = threads
        # oneDNN makes kernels for each shape, some 25 ms of them: less than what padding costs in fp32, more in int8.
        self.prefers_few_shapes = precision != "fp32"
        self._model = openvino.Core().compile_model(folder / MODEL, "CPU", settings)
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(threads):
            self._free.put(self._model.create_infer_request())
        # Its binding reaches for numpy at the first inference; two threads that do so at once wait for each other
        # for good. So the first one is made here, by one thread.
        self.score(np.zeros((1, 1), np.int64), np.ones((1, 1), np.int64))

    def score(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score one batch (see ``Scorer``)."""
        with self._request() as request:
            found = request.infer({0: ids, 1: mask})
            return found[0].copy(), found[1].copy()

    def close(self) -> None:
        """Let the model go."""
        self._free = queue.SimpleQueue()
        del self._model

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Hold one of the requests, for each keeps its own output buffers."""
        request = self._free.get()
        try:
            yield request
        finally:
            self._free.put(request)
