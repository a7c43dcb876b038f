"""ONNX Runtime: the portable one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.runtimes.onnx.generator import ONNXDecoder, convert_language_model, writer_refusal

if TYPE_CHECKING:
    from tunewright.engines.interface import Generator, Scorer, Source, Task


class ONNXEngine:
    """Classifiers exported by torch's own exporter, int8 static; language models by onnxruntime-genai's builder."""

    name = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime", "onnxruntime-genai")
    extra = "onnx"

    def precisions(self, task: Task) -> tuple[str, ...]:
        """Give fp32 and int8; of language models the weights alone are held in int8 or int4."""
        return ("fp32", "int8") if task == "classification" else ("fp32", "int8", "int4")

    def stored_as(self, precision: str) -> str:
        """Each precision has files of its own."""
        return precision

    def refusal(self, source: Source, precision: str) -> str:  # noqa: ARG002 -- architectures decide
        """Refuse language models that the builder can't read; what else goes wrong, the certificate refuses."""
        return writer_refusal(source) if source.task == "generation" else ""

    def convert(
        self, source: Source, precision: str, folder: Path, calibration: Sequence[Sequence[int]]
    ) -> None:
        """Write ``model.onnx``."""
        if source.task == "generation":
            convert_language_model(source, precision, folder)
            return
        from tunewright.engines.runtimes.onnx.encoder import convert_encoder

        convert_encoder(source, precision, folder, calibration)

    def open_scorer(self, folder: Path, precision: str, threads: int) -> Scorer:
        """Open a classifier."""
        from tunewright.engines.runtimes.onnx.encoder import ONNXScorer

        return ONNXScorer(folder, precision, threads)

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int) -> Generator:  # noqa: ARG002
        """Open a language model; its precision is written in the file itself."""
        from tunewright.engines.copies import language_facts
        from tunewright.engines.grammar import Grammars
        from tunewright.engines.language_side import FOLDER, TOKENIZER
        from tunewright.engines.stepping import SteppingGenerator

        facts = language_facts(folder)
        decoder = ONNXDecoder(folder, threads, slots, facts.max_length)
        grammars = Grammars(folder / FOLDER / TOKENIZER, facts)
        return SteppingGenerator(decoder, facts, slots, engine=self.name, grammars=grammars)
