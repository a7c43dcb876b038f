"""Language models on OpenVINO GenAI: continuous batching over paged attention, token ids in and out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.interface import Chunk, TokenScore
from tunewright.engines.runtimes.openvino.quiet import without_telemetry
from tunewright.engines.sampling import require_plain, room
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.engines.interface import Finish, Request, Source
    from tunewright.engines.language_side import LanguageFacts

MODEL = "openvino_model.xml"
"""The name that the pipeline looks for."""
GROUP = 64
"""Weights that share a scale in int4: half of NNCF's default, for an eighth of a bit more."""
BATCH_TOKENS = 1024
"""Prompt and new tokens of one step, at most: a long prompt is read in pieces, and others get their tokens between."""


def convert_language_model(source: Source, precision: str, folder: Path) -> None:
    """Trace a language model and write it, its weights in fewer bits where the precision says so."""
    without_telemetry()
    import openvino

    from tunewright.engines.runtimes.openvino.tracing import trace

    model = trace(source.folder)
    if precision.startswith(("int8", "int4")):
        model = _compressed(model, precision[:4])
    openvino.save_model(model, folder / MODEL, compress_to_fp16=False)


def _compressed(model: Any, bits: str) -> Any:  # noqa: ANN401
    """Hold the weights of products in 8 or 4 bits; embeddings and output layer stay at 8."""
    import nncf

    if bits == "int8":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
    return nncf.compress_weights(
        model,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        group_size=GROUP,
        advanced_parameters=fallback,
    )


@dataclass(slots=True, eq=False)
class _Row:
    """A request, and its handle in the pipeline once it is there."""

    request: Request
    settings: Any
    handle: Any = None


class OpenVINOGenerator:
    """The pipeline, which joins and leaves requests by itself.

    Args:
        folder: The copy.
        precision: Of ``OpenVINOEngine.precisions``.
        facts: Stop tokens and limits.
        threads: Of the pipeline.
        slots: Requests at once.
    """

    batches_continuously = True

    def __init__(self, folder: Path, precision: str, facts: LanguageFacts, threads: int, slots: int) -> None:
        without_telemetry()
        import openvino_genai

        computed = "bf16" if precision.endswith("bf16") else "f32"
        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": computed,
            # The default holds keys and values in 8 bits, which alone moves log-probabilities by a tenth.
            "KV_CACHE_PRECISION": computed,
        }
        if not precision.startswith("int"):
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        schedule = openvino_genai.SchedulerConfig()
        schedule.max_num_seqs = slots
        schedule.max_num_batched_tokens = BATCH_TOKENS
        self.slots = slots
        self._facts = facts
        self._genai = openvino_genai
        # Ids go in and come out: the tokenizer that the pipeline insists on stays empty.
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            folder, openvino_genai.Tokenizer(folder), schedule, "CPU", **settings
        )
        self._waiting: deque[_Row] = deque()
        self._running: dict[str, _Row] = {}
        self._number = 0

    def add(self, request: Request) -> None:
        """Take a request in (see ``Generator``)."""
        sampling = request.sampling
        require_plain(
            request,
            engine="openvino",
            a_JSON_schema=sampling.json_schema is not None,
            log_probabilities_of_other_tokens=sampling.logprobs > 0,
        )
        left = room(request, self._facts)
        if request.id in self._running or any(row.request.id == request.id for row in self._waiting):
            raise InputError("is already being answered", place=f"request {request.id}")
        self._waiting.append(_Row(request, self._settings(request, left)))

    def step(self) -> list[Chunk]:
        """Go on by one step (see ``Generator``)."""
        while self._waiting and len(self._running) < self.slots:
            row = self._waiting.popleft()
            row.handle = self._handle(row.request.prompt_ids, row.settings)
            self._running[row.request.id] = row
        if not self._running:
            return []
        chunks: list[Chunk] = []
        while not chunks:
            self._pipeline.step()
            chunks = [chunk for row in list(self._running.values()) if (chunk := self._read(row))]
        for chunk in chunks:
            if chunk.finish:
                del self._running[chunk.request_id]
        return chunks

    def drop(self, request_id: str) -> None:
        """Forget a request (see ``Generator``)."""
        self._waiting = deque(row for row in self._waiting if row.request.id != request_id)
        row = self._running.pop(request_id, None)
        if row:
            row.handle.cancel()
            # A step takes a cancelled request out of the pipeline; alone it writes nothing for the others.
            if not self._running:
                self._pipeline.step()

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of each token but the first (see ``Scoring``).

        Raises:
            InputError: While requests are being answered.
        """
        if self._running:
            raise InputError("can't score while it answers", place="engine openvino")
        settings = self._genai.GenerationConfig()
        settings.max_new_tokens, settings.echo, settings.logprobs, settings.ignore_eos = 0, True, 1, True
        self._set_stops(settings)
        handles = [self._handle(ids, settings) for ids in sequences]
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        return [list(handle.read_all()[0].generated_log_probs)[1:] for handle in handles]

    def close(self) -> None:
        """Give memory and threads back."""
        for name in list(self._running):
            self.drop(name)
        self._waiting.clear()
        del self._pipeline

    def _settings(self, request: Request, left: int) -> Any:  # noqa: ANN401
        """Say a request's sampling in the pipeline's words."""
        sampling = request.sampling
        settings = self._genai.GenerationConfig()
        settings.max_new_tokens = left
        settings.do_sample = sampling.temperature > 0
        if settings.do_sample:
            settings.temperature = sampling.temperature
            settings.top_p = sampling.top_p
            settings.top_k = sampling.top_k or self._facts.vocabulary
            settings.rng_seed = sampling.seed + sampling.written
        settings.logprobs = int(sampling.logprobs >= 0)
        settings.ignore_eos = sampling.ignores_stops or not self._facts.stop_ids
        self._set_stops(settings)
        return settings

    def _set_stops(self, settings: Any) -> None:  # noqa: ANN401
        """Name the stop tokens; the pipeline wants one even where none counts."""
        stops = self._facts.stop_ids or (0,)
        settings.eos_token_id = stops[0]
        settings.stop_token_ids = set(stops)

    def _handle(self, ids: Sequence[int], settings: Any) -> Any:  # noqa: ANN401
        """Hand token ids to the pipeline."""
        import numpy as np
        import openvino

        self._number += 1
        tensor = openvino.Tensor(np.array([ids], dtype=np.int64))
        return self._pipeline.add_request(self._number, tensor, settings)

    def _read(self, row: _Row) -> Chunk | None:
        """Take what the pipeline wrote for a request, if anything."""
        reasons = self._genai.GenerationFinishReason
        ends: dict[Any, Finish] = {reasons.STOP: "stop", reasons.LENGTH: "length"}
        ids: list[int] = []
        scores: list[float] = []
        finish: Finish | None = None
        while row.handle.can_read():
            for part in row.handle.read().values():
                ids += part.generated_ids
                scores += part.generated_log_probs
                finish = ends.get(part.finish_reason, finish)
        if not ids and row.handle.get_status() != self._genai.GenerationStatus.RUNNING:
            finish = "cancelled"
        if not ids and finish is None:
            return None
        told = row.request.sampling.logprobs >= 0
        return Chunk(
            row.request.id, tuple(ids), tuple(TokenScore(each) for each in scores) if told else (), finish
        )
