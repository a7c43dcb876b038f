"""``tunewright bench serve`` in Python: one run, or the search for the highest rate that holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tunewright.serving.bench.figures import Figures, figures
from tunewright.serving.bench.profile import Profile, encode_requests, read_texts
from tunewright.serving.bench.samples import Samples, joined
from tunewright.support.errors import InputError, MissingExtraError, TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.bench.connection import Answer, Target
    from tunewright.serving.bench.search import Found, Tried

PAUSE_S = 1.0
"""Between two runs of a search: what waits in the server is done by then, or shows in the next run's warm-up."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it comes to, and what that was worked out from."""

    profile: Profile
    figures: Figures
    samples: Samples


class Bench:
    """A server, and what to ask it; nothing else is ever talked to.

    Args:
        url: Its address, ``http://HOST:PORT`` with or without a path before the route's.
        profile: What to ask, how often, how long.
        key: API key, where the server wants one.

    Raises:
        InputError: When the address or the texts can't be used.
    """

    def __init__(self, url: str, profile: Profile, *, key: str | None = None) -> None:
        _check_address(url)
        self.url, self.profile = url, profile
        self._requests = encode_requests(url, profile, read_texts(profile), key)

    def check(self) -> None:
        """Ask once, so that a wrong address or route is said at once and not after the run.

        Raises:
            TunewrightError: When nothing answers.
            InputError: When the answer isn't one to the question.
        """
        from tunewright.serving.bench.driving import run_loop
        from tunewright.serving.bench.samples import OK, REJECTED, WRONG

        place = self.url.rstrip("/") + self.profile.path
        try:
            answer = run_loop(_ask_once(self._target(), self._requests[0], self.profile.timeout_s))
        except (OSError, asyncio.TimeoutError) as error:
            reason = " ".join(str(error).split()) or "no answer in time"
            raise TunewrightError(
                f"can't be reached ({reason})", place=self.url, mend="is the server started?"
            ) from error
        if answer.outcome not in (OK, REJECTED):
            fact = f"answers with {answer.status}" if answer.status else "gives no answer"
            if answer.outcome == WRONG:
                fact = f"answers with {answer.status}, and not with what was asked for"
            raise InputError(fact, place=place, mend="check the route, the body and the key of the profile")

    def run(self, profile: Profile | None = None) -> Run:
        """Run once.

        Args:
            profile: The same load at another rate or length; None: as it was given.
        """
        from tunewright.serving.bench.driving import Share
        from tunewright.serving.bench.processes import drive_all, parts_of

        wanted = profile or self.profile
        taken = drive_all([Share(self._target(), part, self._requests) for part in parts_of(wanted)])
        samples = joined([each.samples for each in taken])
        return Run(wanted, figures(wanted, samples, taken), samples)

    def search(self, told: Callable[[Tried], None] = lambda _: None) -> tuple[Found, Run]:
        """Seek the highest rate whose 99th percentile keeps the profile's bound.

        Args:
            told: Called after each try.

        Returns:
            What was found, and the run of the closed loop that it began with.

        Raises:
            InputError: When the profile has no bound, or a run is too short to tell: at a rate that is 5 % too high,
                a queue takes 20 times the bound to grow as long as it.
        """
        from tunewright.serving.bench.search import PRECISION, search

        if self.profile.p99_ms is None:
            raise InputError(
                "is needed to search for a rate", place="--p99-ms", mend="say how late is too late"
            )
        shortest = self.profile.p99_ms / 1e3 / PRECISION
        if self.profile.duration_s < shortest:
            raise InputError(
                f"is too short to search with a bound of {self.profile.p99_ms:g} ms",
                place=f"{self.profile.duration_s:g} s",
                mend=f"add --duration {shortest:g}",
            )
        first = self.run(self.profile.model_copy(update={"rate": "max"}))

        def run(rate: float) -> Run:
            time.sleep(PAUSE_S)
            return self.run(self.profile.model_copy(update={"rate": rate}))

        return search(run, throughput=first.figures.answered_per_s, told=told), first

    def _target(self) -> Target:
        try:
            from tunewright.serving.bench.connection import Target
        except ImportError:
            raise MissingExtraError("the load tool", "serve") from None
        return Target.of(self.url, streams=self.profile.streams, counts_tokens=self.profile.counts_tokens)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        is_right = False
    if (
        not is_right
        or parts.query
        or parts.fragment
        or not url.isascii()
        or any(each.isspace() for each in url)
    ):
        raise InputError("is no address", place=f"'{url}'", mend="write http://127.0.0.1:8000")


async def _ask_once(target: Target, request: bytes, timeout_s: float) -> Answer:
    """Ask on a connection of its own."""
    from tunewright.serving.bench.connection import Connection

    connection = await asyncio.wait_for(Connection.open(target, time.perf_counter), timeout_s)
    answer = await connection.ask(request, timeout_s)
    connection.close()
    return answer
