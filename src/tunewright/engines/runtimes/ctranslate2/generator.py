"""Language models on CTranslate2: greedy answers in batches whose rows leave when they end."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.interface import Chunk, TokenScore
from tunewright.engines.sampling import require_plain, room
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.engines.interface import Finish, Request, Source
    from tunewright.engines.language_side import LanguageFacts

COMPUTE_TYPES = {
    "fp32": "float32",
    "int8": "int8_float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "int8-fp16": "int8_float16",
    "int8-bf16": "int8_bfloat16",
}


def convert_language_model(source: Source, precision: str, folder: Path) -> None:
    """Convert by CTranslate2's converter, each token named by its number.

    Names from a tokenizer can be missing or occur twice: then other tokens than those meant are read without a word.
    """
    from ctranslate2.converters import TransformersConverter

    rows = int(source.config.get("vocab_size") or source.config["text_config"]["vocab_size"])
    names = [str(number) for number in range(rows)]

    class ByNumber(TransformersConverter):  # type: ignore[misc] # untyped library
        """The converter with its vocabulary replaced."""

        def _load(self) -> Any:  # noqa: ANN401
            spec = super()._load()
            spec._vocabulary = []
            spec.register_vocabulary(names)
            for token in ("bos_token", "eos_token", "unk_token"):
                setattr(spec.config, token, names[0])
            return spec

    held = "int8" if precision.startswith("int8") else COMPUTE_TYPES[precision]
    converter = ByNumber(str(source.folder), low_cpu_mem_usage=True)
    converter.convert(str(folder), quantization=held, force=True)


@dataclass(slots=True, eq=False)
class _Row:
    """A request in a batch."""

    request: Request
    left: int
    """Tokens that it may still get."""
    is_dropped: bool = False


_Token = tuple[_Row, int, float, bool]
"""A row, its new token, how likely it was, and whether it was the row's last."""


class _Taker:
    """Takes each token from CTranslate2's thread and says whether its row has ended."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.taken: queue.SimpleQueue[_Token | None] = queue.SimpleQueue()
        """None: the batch has ended."""

    def __call__(self, result: Any) -> bool:  # noqa: ANN401
        """Take one."""
        row = self.rows[result.batch_id]
        row.left -= 1
        self.taken.put((row, result.token_id, result.log_prob or 0.0, result.is_last))
        return bool(row.left < 1 or row.is_dropped)


_kept: list[_Taker] = []
"""CTranslate2 lets go of a callback on a thread of its own without Python's lock: one that died there would take the
process along. So each is held for good, and often enough that no lost count matters."""
TIMES_KEPT = 1000


class CTranslate2Generator:
    """One batch at a time, on a thread of its own; those who come meanwhile form the next one.

    Args:
        folder: The copy.
        precision: Of ``CTranslate2Engine.precisions``.
        facts: Stop tokens and limits.
        threads: Of a product.
        slots: Requests a batch.
    """

    batches_continuously = False

    def __init__(self, folder: Path, precision: str, facts: LanguageFacts, threads: int, slots: int) -> None:
        import ctranslate2

        self.slots = slots
        self._facts = facts
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self._model = ctranslate2.Generator(
            str(folder), device=device, compute_type=COMPUTE_TYPES[precision], intra_threads=threads
        )
        self._worker = ThreadPoolExecutor(1)
        self._waiting: deque[_Row] = deque()
        self._batch: list[_Row] = []
        self._taker = _Taker()
        _kept.extend([self._taker] * TIMES_KEPT)
        self._done: Future[None] | None = None

    def add(self, request: Request) -> None:
        """Take a request in (see ``Generator``)."""
        sampling = request.sampling
        require_plain(
            request,
            engine="ctranslate2",
            # Its random numbers come from one generator a thread: what is drawn depends on all that was drawn before.
            a_temperature_with_a_seed=sampling.temperature > 0,
            a_JSON_schema=sampling.json_schema is not None,
            log_probabilities_of_other_tokens=sampling.logprobs > 0,
        )
        left = room(request, self._facts)
        if any(row.request.id == request.id for row in (*self._batch, *self._waiting)):
            raise InputError("is already being answered", place=f"request {request.id}")
        self._waiting.append(_Row(request, left))

    def step(self) -> list[Chunk]:
        """Give the tokens written since the last step; wait for the next where there are none."""
        chunks: list[Chunk] = []
        while not chunks and (self._done is not None or self._begin()):
            tokens = self._tokens()
            chunks = [chunk for token in tokens if token and (chunk := self._chunk(*token))]
            if tokens[-1] is None:
                self._end()
        return chunks

    def drop(self, request_id: str) -> None:
        """Forget a request (see ``Generator``)."""
        self._waiting = deque(row for row in self._waiting if row.request.id != request_id)
        for row in self._batch:
            row.is_dropped = row.is_dropped or row.request.id == request_id

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of each token but the first (see ``Scoring``)."""
        names = [list(map(str, ids)) for ids in sequences]
        found = self._model.score_batch(names, max_batch_size=self.slots, max_input_length=0)
        return [list(each.log_probs) for each in found]

    def close(self) -> None:
        """Give memory and threads back."""
        self._waiting.clear()
        for row in self._batch:
            row.is_dropped = True
        self._worker.shutdown()
        self._model.unload_model()

    def _begin(self) -> bool:
        """Begin a batch with those that wait; those that go on behind stop tokens have batches of their own."""
        self._batch = []
        while self._waiting and len(self._batch) < self.slots:
            row = self._waiting[0]
            if self._batch and row.request.sampling.ignores_stops != self._ignores_stops:
                break
            self._batch.append(self._waiting.popleft())
        if not self._batch:
            return False
        self._done = self._worker.submit(self._run, list(self._batch))
        return True

    @property
    def _ignores_stops(self) -> bool:
        return self._batch[0].request.sampling.ignores_stops

    def _run(self, rows: list[_Row]) -> None:
        """Write a batch to its end, and say so."""
        self._taker.rows = rows
        most = max(row.left for row in rows)
        try:
            self._model.generate_batch(
                [list(map(str, row.request.prompt_ids)) for row in rows],
                max_length=most,
                min_length=most if self._ignores_stops else 0,
                end_token=list(self._facts.stop_ids) or None,
                return_end_token=True,
                include_prompt_in_result=False,
                return_scores=True,
                callback=self._taker,
            )
        finally:
            self._taker.taken.put(None)

    def _end(self) -> None:
        """Forget a batch that has ended.

        Raises:
            TunewrightError: When it failed.
        """
        failed = self._done.exception() if self._done else None
        self._done = None
        self._batch = []
        if failed:
            raise TunewrightError(f"failed ({failed})", place="engine ctranslate2") from failed

    def _tokens(self) -> list[_Token | None]:
        """Take what was written; wait for the first. None comes last, when the batch has ended."""
        tokens = [self._taker.taken.get()]
        while not self._taker.taken.empty():
            tokens.append(self._taker.taken.get())
        return tokens

    def _chunk(self, row: _Row, token: int, score: float, is_last: bool) -> Chunk | None:
        """Tell one token; nothing of a request that was dropped."""
        if row.is_dropped:
            return None
        sampling = row.request.sampling
        finish: Finish | None = None
        if token in self._facts.stop_ids and not sampling.ignores_stops:
            finish = "stop"
        elif is_last:
            finish = "length"
        scores = (TokenScore(score),) if sampling.logprobs >= 0 else ()
        return Chunk(row.request.id, (token,), scores, finish)
