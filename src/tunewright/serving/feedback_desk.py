"""Takes feedback: looks at it beside what was answered, and writes it on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.monitoring.feedback import Feedback, give_feedback
from tunewright.serving.asked import PREDICTION
from tunewright.serving.faults import NOT_FOUND, ServingError, overloaded, unavailable
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.serving.asked import Finished

ID = re.compile(
    rf"(?P<request>{PREDICTION}(?P<milliseconds>[0-9a-f]{{12}})[0-9a-f]{{16}})(-(?P<row>\d{{1,6}}))?"
)
SKEW_S = 60.0
"""Another server's clock may be so far ahead."""
MOST_REMEMBERED = 20_000
"""Requests whose texts and labels are known to feedback; about 5 MB."""
MOST_WAITING = 256
"""Feedback that waits for the disk; beyond it the client is told to come back."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answered:
    """What is remembered of a request."""

    texts: int
    labels: tuple[str, ...]


class FeedbackDesk:
    """Takes what people say of answers.

    Args:
        path: The file; several processes may share it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._recent: OrderedDict[str, _Answered] = OrderedDict()
        self._labels: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="feedback")
        self._waiting = 0

    def hear(self, finished: Finished) -> None:
        """Remember a request that was answered; the oldest is forgotten."""
        if not finished.answered:
            return
        first = finished.answered[0]
        labels = tuple(first.prediction.probabilities) if first.prediction else ()
        request = first.id.partition("-")[0]
        self._recent[request] = _Answered(len(finished.answered), self._labels.setdefault(labels, labels))
        if len(self._recent) > MOST_REMEMBERED:
            self._recent.popitem(last=False)

    async def take(self, feedback: Feedback) -> Feedback:
        """Keep feedback durably.

        Returns:
            It, with the whole id of the answer.

        Raises:
            ServingError: Status 404 for an id that no answer has, 400 for one that means several, 503 when it can't be
                written.
            InputError: When the model that answered has no such label.
        """
        name, labels = self._look_up(feedback.prediction_id)
        kept = feedback.model_copy(update={"prediction_id": name})
        if self._waiting >= MOST_WAITING:
            raise overloaded(1)
        self._waiting += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._writing, self._write, kept, labels)
        finally:
            self._waiting -= 1
        return kept

    def close(self) -> None:
        """Write what waits."""
        self._writing.shutdown()

    def _look_up(self, name: str) -> tuple[str, tuple[str, ...] | None]:
        """Return an answer's whole id, and the labels of its model where they are known."""
        found = ID.fullmatch(name)
        if found is None or int(found["milliseconds"], 16) / 1000 > time.time() + SKEW_S:
            raise _no_such(name)
        known = self._recent.get(found["request"])
        if known is None:
            return name, None
        if found["row"] is None and known.texts > 1:
            raise ServingError(
                f"means {known.texts} texts",
                param="prediction_id",
                code="ambiguous_id",
                mend=f"add -0 to -{known.texts - 1}",
            )
        row = int(found["row"] or 0)
        if row >= known.texts:
            raise _no_such(name)
        return f"{found['request']}-{row}", known.labels or None

    def _write(self, feedback: Feedback, labels: tuple[str, ...] | None) -> None:
        try:
            give_feedback(self._path, feedback, known_labels=labels)
        except InputError:
            raise
        except (OSError, TunewrightError) as error:
            log.warning("feedback can't be written (%s)", error)
            raise unavailable("the feedback can't be written", "feedback_unwritable") from None


def _no_such(name: str) -> ServingError:
    return ServingError(
        f"no answer has the id {name[:60]!r}",
        status=NOT_FOUND,
        code="prediction_not_found",
        param="prediction_id",
        mend="take it from x-prediction-id or from the answer",
    )
