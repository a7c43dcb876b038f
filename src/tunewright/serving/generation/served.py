"""A language model that is served: prompts in, tokens out as they are written, with a line and a worker behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.models.chat.template import RefusedRowError
from tunewright.serving.admission import Admission
from tunewright.serving.faults import ServingError, timed_out, unanswerable, unavailable
from tunewright.serving.generation.begun import Begun
from tunewright.serving.generation.keeper import WritingKeeper
from tunewright.serving.generation.reading import stream_of
from tunewright.serving.generation.waiting import WaitingLine
from tunewright.serving.generation.wanted import Wanted, characters, render
from tunewright.serving.generation.writing import Writing
from tunewright.serving.served import Identity, ServedModel, watched

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig
    from tunewright.engines.language_side import LanguageSide
    from tunewright.engines.text_side import SplitText
    from tunewright.models.language.prompts import Prompt
    from tunewright.serving.frames import Piece
    from tunewright.serving.metrics import Metrics


class ServedLanguageModel(ServedModel):
    """One opened copy behind a line of requests, or an adapter in a worker that has its base.

    Args:
        identity: Which model it is.
        folder: The copy; of an adapter, its own one.
        side: Its tokenizer and template.
        settings: Limits and sizes.
        threads: Processor threads of the engine.
        metrics: Where figures go.
        sharing: For an adapter: who keeps the worker with its base. ``join`` brings it there.
    """

    task = "generation"
    keeper: WritingKeeper

    def __init__(
        self,
        identity: Identity,
        folder: Path,
        side: LanguageSide,
        settings: ServingConfig,
        *,
        threads: int,
        metrics: Metrics,
        sharing: WritingKeeper | None = None,
    ) -> None:
        super().__init__(identity, settings)
        self.side = side
        self.folder = folder
        self.is_adapter = sharing is not None
        self.adapter = ""
        self.keeper = sharing or WritingKeeper(
            folder, threads, settings.slots, step_timeout_s=settings.batch_timeout_s
        )
        if not sharing:
            self.keeper.join(self)
        self.admission = Admission(settings.queue_tokens)
        self._line = WaitingLine()
        self._begun: set[Begun] = set()
        """What is read yet."""
        name = identity.id
        self._queue_seconds = metrics.queue_seconds.labels(name)
        self._step_seconds = metrics.batch_seconds.labels(name)
        self._step_rows = metrics.batch_rows.labels(name)
        self._read = metrics.tokens.labels(name)
        self._written = metrics.written_tokens.labels(name)
        self._first_token = metrics.first_token_seconds.labels(name)
        self._token = metrics.token_seconds.labels(name)

    @property
    def max_tokens(self) -> int:
        """Tokens of prompt and answer together."""
        return self.side.facts.max_length

    @property
    def waiting_tokens(self) -> int:
        """Tokens in the line."""
        return self._line.tokens

    @property
    def waits(self) -> bool:
        """Whether an answer waits for its turn."""
        return bool(self._line)

    async def join(self) -> None:
        """Bring its adapter into the worker that it shares.

        Raises:
            TunewrightError: When it can't be used there.
        """
        self.adapter = await self.keeper.bring(self.folder)
        self.keeper.join(self)

    def leave(self) -> None:
        """Take its adapter out of the worker that it shares."""
        if self.adapter:
            self.keeper.leave(self)
            self.keeper.forget(self.adapter)
            self.adapter = ""

    async def begin(
        self,
        wanted: Wanted,
        *,
        caller: str,
        arrival: float,
        seconds: float,
        leaving: Callable[[], Awaitable[None]],
    ) -> Begun:
        """Let answers be written; return when they are there, or, for a stream, when the first token is.

        What is returned must be closed.

        Args:
            wanted: What is asked.
            caller: For whom; turns are shared between callers.
            arrival: When the request came (``time.monotonic``).
            seconds: Time until then, from the arrival on.
            leaving: Returns when the client has left; asked only when it takes long.

        Raises:
            ServingError: When a prompt can't be read or leaves no room, the line is full, the time is over, the client
                has left, or the engine fails.
        """
        self.asking += 1
        begun: Begun | None = None
        try:
            prompts = await self._rendered(wanted)
            now = time.monotonic()
            if arrival + seconds <= now:
                raise timed_out(seconds)
            writings = self._writings(wanted, prompts, caller, arrival)
            self.admission.admit(caller, sum(each.tokens for each in writings), now)
            begun = Begun(self, prompts, writings, asyncio.get_running_loop().create_future())
            self._begun.add(begun)
            for each in writings:
                self._line.add(each)
            asyncio.get_running_loop().call_soon(self.keeper.free)

            def fail_all(fault: ServingError) -> None:
                for each in writings:
                    each.fail(fault)

            with watched(fail_all, arrival + seconds - now, seconds, leaving):
                for each in writings[:1] if wanted.streams else writings:
                    await (each.began if wanted.streams else each.ended).wait()
            if begun.fault:
                raise begun.fault
        except BaseException:
            if begun:
                self.withdraw(begun)
            else:
                self.asking -= 1
            raise
        return begun

    def withdraw(self, begun: Begun) -> None:
        """Stop what of a request isn't written yet: nobody waits for it any more."""
        if all(each.gone for each in begun.writings):
            return
        self.asking -= 1
        self._begun.discard(begun)
        begun.over.set_result(None)
        for each in begun.writings:
            each.gone = True
            if self._line.drop(each):
                self.admission.leave(each.caller, each.tokens)
            elif not each.finish:
                self.keeper.drop(each)

    def close(self) -> None:
        """Give threads back; who still reads an answer is told that no more of it will come."""
        super().close()
        for begun in self._begun:
            for each in begun.writings:
                each.fail(unavailable("the version that wrote this answer was closed", "closed"))

    async def split(self, text: str) -> SplitText:
        """Show how the model reads a plain text."""
        return await self._tokenised(len(text), lambda: self.side.split(text))

    def pop(self) -> Writing | None:
        """Give the next answer that waits; None where it has ended meanwhile."""
        writing = self._line.pop()
        self.admission.leave(writing.caller, writing.tokens)
        if writing.is_over:
            return None
        writing.sent_at = time.monotonic()
        self._queue_seconds.observe(writing.sent_at - writing.arrival)
        self._read.inc(len(writing.prompt_ids))
        return writing

    def stepped(self, pieces: Sequence[tuple[Writing, Piece]], seconds: float) -> None:
        """Hand out what one step wrote."""
        now = time.monotonic()
        self._step_seconds.observe(seconds)
        self._step_rows.observe(len(pieces))
        for writing, piece in pieces:
            if piece.finish == "cancelled":
                writing.fail(unanswerable("the engine gave it up"))
                continue
            self._count(writing, len(piece.ids), now)
            writing.take(piece.ids, piece.scores, piece.finish)
            if writing.finish:
                self.admission.answered(writing.tokens, now)
            if writing.finish and not piece.finish:
                self.keeper.drop(writing)

    def refused(self, writing: Writing, why: str) -> None:
        """Answer a request with an error, for the engine can't do what it asks."""
        writing.fail(ServingError(why, code="unsupported_value"))

    def failed(self, writing: Writing, why: str) -> None:
        """Answer a request with an error, for the engine fails at it."""
        writing.fail(unanswerable(why))

    def _count(self, writing: Writing, tokens: int, now: float) -> None:
        """Count tokens, and the time that they took."""
        if not tokens:
            return
        self._written.inc(tokens)
        if not writing.first_at:
            writing.first_at = now
            self._first_token.observe(now - writing.arrival)
        else:
            self._token.observe((now - writing.last_at) / tokens)
        writing.last_at = now

    def _writings(
        self, wanted: Wanted, prompts: Sequence[Prompt], caller: str, arrival: float
    ) -> tuple[Writing, ...]:
        """Lay out the answers, each with a seed of its own."""
        found = []
        for prompt in prompts:
            room = self.max_tokens - len(prompt.ids)
            if room < 1:
                raise ServingError(
                    f"has {len(prompt.ids):,} tokens and leaves no room for an answer within {self.max_tokens:,}",
                    param=wanted.where,
                    code="context_length_exceeded",
                    mend="shorten it",
                )
            most = min(room, wanted.sampling.max_new_tokens, self.settings.max_new_tokens)
            for choice in range(wanted.n):
                sampling = replace(wanted.sampling, max_new_tokens=most, seed=wanted.sampling.seed + choice)
                writing = Writing(prompt.ids, sampling, caller, arrival, self, self.adapter)
                if wanted.stops:
                    writing.stream = stream_of(prompt.ids, self.side, wanted.stops, strips=wanted.strips)
                found.append(writing)
        return tuple(found)

    async def _rendered(self, wanted: Wanted) -> tuple[Prompt, ...]:
        """Render and tokenise; long prompts don't hold the other requests up."""
        try:
            return await self._tokenised(characters(wanted), lambda: render(wanted, self.side))
        except RefusedRowError as error:
            raise ServingError(error.fact, param=wanted.where, code=error.reason, mend=error.mend) from None
