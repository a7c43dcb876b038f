"""CTranslate2: the small path, with the least memory and the shortest start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.language_side import window_refusal
from tunewright.engines.runtimes.ctranslate2.architectures import encoder_refusal, writer_refusal

if TYPE_CHECKING:
    from tunewright.engines.interface import Generator, Scorer, Source, Task

OFFERED = {
    "float32": "fp32",
    "int8_float32": "int8",
    "float16": "fp16",
    "bfloat16": "bf16",
    "int8_float16": "int8-fp16",
    "int8_bfloat16": "int8-bf16",
}
"""Its compute types in our words."""


class CTranslate2Engine:
    """Converted by CTranslate2's own converter; the classification head is ours."""

    name = "ctranslate2"
    packages = ("ctranslate2",)
    extra = "ctranslate2"

    def precisions(self, task: Task) -> tuple[str, ...]:
        """Give the compute types that this machine offers."""
        if task == "classification":
            return ("fp32", "int8")
        import ctranslate2

        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        offered = ctranslate2.get_supported_compute_types(device)
        return tuple(precision for name, precision in OFFERED.items() if name in offered)

    def stored_as(self, precision: str) -> str:
        """Each precision has files of its own."""
        return precision

    def refusal(self, source: Source, precision: str) -> str:  # noqa: ARG002 -- architectures decide
        """Refuse what the converter can't read, or reads wrongly."""
        if source.task == "classification":
            return encoder_refusal(source.architecture)
        return writer_refusal(source.config) or window_refusal(source, "CTranslate2")

    def convert(
        self,
        source: Source,
        precision: str,
        folder: Path,
        calibration: Sequence[Sequence[int]],  # noqa: ARG002 -- its int8 takes ranges from each row
    ) -> None:
        """Write CTranslate2's files."""
        if source.task == "generation":
            from tunewright.engines.runtimes.ctranslate2.generator import convert_language_model

            convert_language_model(source, precision, folder)
            return
        from tunewright.engines.runtimes.ctranslate2.encoder import convert_encoder

        convert_encoder(source, precision, folder)

    def open_scorer(self, folder: Path, precision: str, threads: int) -> Scorer:
        """Open a classifier."""
        from tunewright.engines.runtimes.ctranslate2.encoder import CTranslate2Scorer

        return CTranslate2Scorer(folder, precision, threads)

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int) -> Generator:
        """Open a language model."""
        from tunewright.engines.copies import language_facts
        from tunewright.engines.runtimes.ctranslate2.generator import CTranslate2Generator

        return CTranslate2Generator(folder, precision, language_facts(folder), threads, slots)
