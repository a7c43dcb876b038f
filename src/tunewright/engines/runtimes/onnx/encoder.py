"""Classifiers on ONNX Runtime."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.batching import padded
from tunewright.engines.runtimes.graph import open_graph
from tunewright.engines.text_side import TOKENIZER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.interface import Source

MODEL = "model.onnx"
CALIBRATION_ROWS = 300
LARGEST = 4096


def convert_encoder(
    source: Source, precision: str, folder: Path, calibration: Sequence[Sequence[int]]
) -> None:
    """Export a classifier, and quantise it statically where the precision says so."""
    pad = int(source.config.get("pad_token_id") or 0)
    plain = folder / ("plain.onnx" if precision == "int8" else MODEL)
    _export(source, plain, pad)
    if precision == "int8":
        _quantise(plain, folder / MODEL, calibration, pad)
        for path in folder.glob("plain*"):
            path.unlink()
    shutil.copy2(source.folder / TOKENIZER, folder / TOKENIZER)


def _export(source: Source, path: Path, pad: int) -> None:
    """Trace with torch's exporter, rows and width left open."""
    import torch

    graph = open_graph(source.folder, source.labels)
    width = 8
    ids = torch.full((2, width), max(pad, 1))
    mask = torch.ones_like(ids)
    mask[1, width // 2 :] = 0
    rows = torch.export.Dim("rows", min=1, max=LARGEST)
    longest = int(source.config.get("max_position_embeddings") or LARGEST)
    tokens = torch.export.Dim("tokens", min=2, max=longest)
    shape = {0: rows, 1: tokens}
    torch.onnx.export(
        graph,
        (ids, mask),
        path,
        dynamo=True,
        input_names=["ids", "mask"],
        output_names=["logits", "features"],
        dynamic_shapes=(shape, shape),
        external_data=False,
        verbose=False,
    )


def _quantise(plain: Path, out: Path, calibration: Sequence[Sequence[int]], pad: int) -> None:
    """Quantise products with ranges of activations taken from real texts."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Texts(CalibrationDataReader):  # type: ignore[misc] # untyped library
        def __init__(self) -> None:
            self._rows: Iterator[Any] = iter(calibration[:CALIBRATION_ROWS])

        def get_next(self) -> dict[str, Any] | None:
            row = next(self._rows, None)
            return None if row is None else dict(zip(("ids", "mask"), padded([list(row)], pad), strict=True))

    quantize_static(
        str(plain),
        str(out),
        Texts(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        # Unsigned times signed is what x86 processors have an instruction for.
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


class ONNXScorer:
    """A session with all threads in each product.

    Args:
        folder: The copy.
        precision: Written in the file itself.
        threads: Of a product.
    """

    lanes = 1
    prefers_few_shapes = False

    def __init__(self, folder: Path, precision: str, threads: int) -> None:  # noqa: ARG002 -- the file says it
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            folder / MODEL, options, providers=["CPUExecutionProvider"]
        )

    def score(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score one batch (see ``Scorer``)."""
        logits, features = self._session.run(["logits", "features"], {"ids": ids, "mask": mask})
        return logits, features

    def close(self) -> None:
        """Let the session go."""
        del self._session
