"""Language models on ONNX Runtime: graphs by the builder of onnxruntime-genai, stepped here, each request in a slot."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.batching import padded
from tunewright.engines.language_side import window_refusal
from tunewright.support.files import read_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.interface import Source

    Logits = npt.NDArray[np.float32]

MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
CONFIG = "genai_config.json"
HEAD_STEP = 16
"""Its grouped attention takes heads of a multiple of so many numbers."""
WRITERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "granite")
"""Architectures whose copies were compared. The builder stops at Phi-3 and Gemma 3 with the configurations that
transformers 5 writes, and its graph of Gemma 2 doesn't run."""


def writer_refusal(source: Source) -> str:
    """Say why a language model can't be converted rightly; empty when it can."""
    config = source.config
    if source.architecture not in WRITERS:
        return f"onnxruntime-genai's builder can't read {source.architecture} rightly; use openvino or transformers"
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    if head % HEAD_STEP:
        return (
            f"ONNX Runtime's attention takes heads of a multiple of {HEAD_STEP} numbers, this model's have {head}; "
            "use openvino or ctranslate2"
        )
    return window_refusal(source, "ONNX Runtime")


def convert_language_model(source: Source, precision: str, folder: Path) -> None:
    """Build a graph from a plain Transformers folder, without a network."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    with tempfile.TemporaryDirectory() as cache:
        place = ("", str(source.folder), str(folder), precision, "cpu", cache)
        create_model(*place, **parse_extra_options(*place, ["hf_token=false"]))
    for path in folder.iterdir():
        if path.name not in {MODEL, WEIGHTS, CONFIG}:
            path.unlink()


class ONNXDecoder:
    """A session over buffers that hold keys and values of all slots, written in place.

    Args:
        folder: The copy.
        threads: Of a product.
        slots: Requests at once.
        max_length: Tokens a slot.
    """

    def __init__(self, folder: Path, threads: int, slots: int, max_length: int) -> None:
        import numpy as np
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            folder / MODEL, options, providers=["CPUExecutionProvider"]
        )
        inputs = self._session.get_inputs()
        size = read_json(folder / CONFIG)["model"]["decoder"]["head_size"]
        self._reads_positions = any(each.name == "position_ids" for each in inputs)
        # Memory that no token was written to isn't taken from the system.
        self._held = {
            each.name: np.zeros((slots, each.shape[1], max_length, size), np.float32)
            for each in inputs
            if each.name.startswith("past_key_values.")
        }

    def read(
        self,
        prompts: Sequence[Sequence[int]],
        first: int,
        adapters: Sequence[str] = (),  # noqa: ARG002 -- requests for one are refused
    ) -> Logits:
        """Read prompts (see ``Decoder``)."""
        ids, mask = padded(prompts, 0)
        ends = [len(prompt) - 1 for prompt in prompts]
        found: Logits = self._run(ids, mask, first)[range(len(prompts)), ends]
        return found

    def write(
        self,
        tokens: Sequence[int],
        lengths: Sequence[int],
        adapters: Sequence[str] = (),  # noqa: ARG002 -- as above
    ) -> Logits:
        """Append a token to each (see ``Decoder``)."""
        import numpy as np

        held = np.asarray(lengths)
        mask = (np.arange(max(lengths) + 1) <= held[:, None]).astype(np.int64)
        return self._run(np.asarray(tokens, np.int64)[:, None], mask, 0)[:, 0]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a slot (see ``Decoder``)."""
        for buffer in self._held.values():
            buffer[target, :, :length] = buffer[source, :, :length]

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[Logits]:
        """Return the logits behind every token (see ``Decoder``)."""
        import numpy as np

        ids, mask = padded(sequences, 0)
        empty = {
            name: np.zeros((len(sequences), buffer.shape[1], 0, buffer.shape[3]), np.float32)
            for name, buffer in self._held.items()
        }
        found = self._session.run(["logits"], self._inputs(ids, mask) | empty)[0]
        return [each[: len(row)] for each, row in zip(found, sequences, strict=True)]

    def close(self) -> None:
        """Let session and buffers go."""
        del self._session, self._held

    def _run(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], first: int) -> Logits:
        """Run the slots from ``first`` on, their keys and values being written where they lie."""
        import numpy as np

        binding = self._session.io_binding()
        for name, value in self._inputs(ids, mask).items():
            binding.bind_cpu_input(name, value)
        for name, buffer in self._held.items():
            rows = buffer[first : first + len(ids)]
            place = ("cpu", 0, np.float32, rows.shape, rows.ctypes.data)
            binding.bind_input(name, *place)
            binding.bind_output(name.replace("past_key_values", "present"), *place)
        binding.bind_output("logits", "cpu")
        self._session.run_with_iobinding(binding)
        found: Logits = binding.get_outputs()[-1].numpy()
        return found

    def _inputs(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Name what a pass reads."""
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._reads_positions:
            inputs["position_ids"] = (mask.cumsum(axis=1) - 1).clip(0)[:, -ids.shape[1] :]
        return inputs
