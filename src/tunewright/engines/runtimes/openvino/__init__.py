"""OpenVINO: the fast path on a CPU, with static int8 for encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.language_side import window_refusal

if TYPE_CHECKING:
    from tunewright.engines.interface import Generator, Scorer, Source, Task

WITHOUT_PAGES = ("bloom", "falcon", "mpt", "mamba", "mamba2", "falcon_mamba", "rwkv")
"""Their position bias or their state isn't a plain attention over keys and values, which is what gets replaced."""


class OpenVINOEngine:
    """Converted through torch's tracer.

    Classifiers: int8 by NNCF's post-training quantisation on real texts. Language models: weights in 8 or 4 bits,
    paged attention and continuous batching of OpenVINO GenAI.
    """

    name = "openvino"
    packages = ("openvino", "openvino-genai", "nncf")
    extra = "openvino"

    def precisions(self, task: Task) -> tuple[str, ...]:
        """Give the precisions; ``int8-bf16`` holds weights in int8 and computes what stays unquantised in bf16."""
        plain = ("fp32", "bf16", "int8", "int8-bf16")
        return plain if task == "classification" else (*plain, "int4", "int4-bf16")

    def stored_as(self, precision: str) -> str:
        """bf16 is a way to compute, not to store."""
        return precision.partition("-")[0].replace("bf16", "fp32")

    def refusal(self, source: Source, precision: str) -> str:  # noqa: ARG002 -- architectures decide
        """Refuse language models whose attention isn't plain; what else tracing gets wrong, the certificate refuses."""
        if source.task == "classification":
            return ""
        if source.architecture in WITHOUT_PAGES:
            return f"OpenVINO GenAI's paged attention doesn't know that of {source.architecture}; use transformers"
        return window_refusal(source, "OpenVINO GenAI")

    def convert(
        self, source: Source, precision: str, folder: Path, calibration: Sequence[Sequence[int]]
    ) -> None:
        """Write the graph and its weights."""
        if source.task == "generation":
            from tunewright.engines.runtimes.openvino.generator import convert_language_model

            convert_language_model(source, precision, folder)
            return
        from tunewright.engines.runtimes.openvino.encoder import convert_encoder

        convert_encoder(source, precision, folder, calibration)

    def open_scorer(self, folder: Path, precision: str, threads: int) -> Scorer:
        """Open a classifier."""
        from tunewright.engines.runtimes.openvino.encoder import OpenVINOScorer

        return OpenVINOScorer(folder, precision, threads)

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int) -> Generator:
        """Open a language model."""
        from tunewright.engines.copies import language_facts
        from tunewright.engines.runtimes.openvino.generator import OpenVINOGenerator

        return OpenVINOGenerator(folder, precision, language_facts(folder), threads, slots)
