"""Drive a server: requests that arrive when they were scheduled, or as fast as connections get answers."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tunewright.serving.bench.arrivals import schedule
from tunewright.serving.bench.connection import Answer, Connection, Target
from tunewright.serving.bench.samples import TIMED_OUT, UNREACHABLE, ClientUse, Samples, Taken

if TYPE_CHECKING:
    from tunewright.serving.bench.profile import Profile

T = TypeVar("T")
RECONNECT_S = 0.05
"""Pause of a closed loop whose server can't be reached."""
CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Share:
    """One client process's part of a run."""

    target: Target
    profile: Profile
    """With this process's own rate, connections and seed."""
    requests: Sequence[bytes]


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on uvloop where it is installed."""
    try:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def drive(share: Share, start: Callable[[], None] = lambda: None) -> Taken:
    """Do one process's part.

    Args:
        share: What to do.
        start: Called when all is ready; the run begins when it returns.
    """
    driver = _Driver(share)
    await driver.connect()
    start()
    return await driver.run()


class _Driver:
    """The connections of one process and what is measured on them."""

    def __init__(self, share: Share) -> None:
        import numpy as np

        self.target, self.profile, self.requests = share.target, share.profile, share.requests
        self.samples = Samples()
        self.sent = self.opened = 0
        self._busy = 0
        self._idle: list[Connection] = []
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        order = np.random.default_rng(self.profile.seed).permutation(len(self.requests))
        self._order: list[int] = order.tolist()
        self._begun = time.perf_counter()

    async def connect(self) -> None:
        """Open connections beforehand: opening one is no part of an answer's time."""
        for _ in range(self.profile.connections):
            opened = await self._open()
            if opened is None:
                break
            self._idle.append(opened)

    async def run(self) -> Taken:
        """Ask, wait for the last answers, and close."""
        cpu, self._begun = time.process_time(), time.perf_counter()
        await (self._closed_loop() if self.profile.rate == "max" else self._open_loop(self.profile.rate))
        use = ClientUse(time.process_time() - cpu, self._clock(), self.sent, self.opened)
        for connection in self._idle:
            connection.close()
        await asyncio.sleep(0)
        return Taken(self.samples, use)

    async def _open_loop(self, rate: float) -> None:
        profile = self.profile
        moments = schedule(rate, profile.total_s, kind=profile.arrivals, seed=profile.seed).tolist()
        tasks: set[asyncio.Task[None]] = set()
        for number, moment in enumerate(moments):
            await asyncio.sleep(max(0.0, moment - self._clock()))
            now = self._clock()
            if moment >= profile.warm_up_s:
                self.samples.lags.append(max(0.0, now - moment))
            # Timers are rounded to a millisecond: what goes out early has arrived then, or its wait would look short.
            task = asyncio.create_task(self._scheduled(number, min(moment, now)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)

    async def _scheduled(self, number: int, moment: float) -> None:
        """Ask once; latency counts from the moment it was scheduled for, whatever held it up."""
        sent, answer = math.nan, Answer(TIMED_OUT)
        try:
            connection = await self._take(moment + self.profile.timeout_s)
        except OSError:
            connection, answer = None, Answer(UNREACHABLE)
        if connection is not None:
            sent = self._clock()
            answer = await connection.ask(self._request(number), moment + self.profile.timeout_s - sent)
            self._give(connection)
        if moment >= self.profile.warm_up_s:
            self._note(moment, sent, answer)

    async def _closed_loop(self) -> None:
        await asyncio.gather(*(self._one_after_another(each) for each in range(self.profile.connections)))

    async def _one_after_another(self, number: int) -> None:
        profile, end = self.profile, self.profile.total_s
        connection: Connection | None = self._idle.pop() if self._idle else None
        while (sent := self._clock()) < end:
            if connection is None or not connection.is_open:
                connection = await self._open()
            if connection is None:
                answer = Answer(UNREACHABLE)
                await asyncio.sleep(RECONNECT_S)
            else:
                answer = await connection.ask(self._request(number), profile.timeout_s)
            number += profile.connections
            if profile.warm_up_s <= self._clock() <= end:
                self._note(sent, sent, answer)
        if connection is not None:
            self._idle.append(connection)

    def _request(self, number: int) -> bytes:
        self.sent += 1
        return self.requests[self._order[number % len(self._order)]]

    def _note(self, scheduled: float, sent: float, answer: Answer) -> None:
        """Keep what was measured; the answer's own times are absolute."""
        first = answer.first - self._begun
        self.samples.add(scheduled, sent, first, self._clock(), answer.outcome, answer.tokens)
        self.samples.gaps.extend(answer.gaps)

    async def _take(self, deadline: float) -> Connection | None:
        """Return a free connection, or None when none is before the deadline.

        Raises:
            OSError: When a new one can't be opened.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._busy += 1
                return connection
        if self._busy < self.profile.connections:
            self._busy += 1
            opened = await self._open()
            if opened is None:
                self._leave()
                raise ConnectionError
            return opened
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Connection | None] = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(max(0.0, deadline - self._clock()), _resolve, turn)
        try:
            return await turn
        finally:
            timer.cancel()

    def _give(self, connection: Connection) -> None:
        """Hand a connection to who waits longest, or put it aside."""
        if connection.is_open:
            while self._queue:
                turn = self._queue.popleft()
                if not turn.done():
                    turn.set_result(connection)
                    return
            self._idle.append(connection)
        self._leave()

    def _leave(self) -> None:
        """Free a place; who waits for a connection opens a new one."""
        self._busy -= 1
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                self._busy += 1
                task = asyncio.ensure_future(self._open())
                task.add_done_callback(partial(self._hand_over, turn))
                return

    def _hand_over(
        self, turn: asyncio.Future[Connection | None], opening: asyncio.Task[Connection | None]
    ) -> None:
        opened = opening.result()
        if turn.done():  # too late
            if opened is None:
                self._leave()
            else:
                self._give(opened)
        elif opened is None:
            turn.set_exception(ConnectionError())
            self._leave()
        else:
            turn.set_result(opened)

    async def _open(self) -> Connection | None:
        try:
            opened = await asyncio.wait_for(Connection.open(self.target, time.perf_counter), CONNECT_S)
        except (OSError, asyncio.TimeoutError):
            return None
        self.opened += 1
        return opened

    def _clock(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self._begun


def _resolve(turn: asyncio.Future[Connection | None]) -> None:
    if not turn.done():
        turn.set_result(None)
