"""Who is heard while two versions are open: the order of their answers is the test's, and no clock decides."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tunewright.config.serving import ServingConfig
from tunewright.serving.faults import ServingError, overloaded, timed_out, unanswerable
from tunewright.serving.metrics import Metrics
from tunewright.serving.rollout.asking import ask_new
from tunewright.serving.rollout.figures import Figures
from tunewright.serving.rollout.timing import Timing
from tunewright.serving.rollout.trial import Key, Trial

REFUSED = ServingError("has 300 tokens and leaves no room for an answer", param="messages")


class Asked:
    """A question that each version answers when the test lets it."""

    arrival = 0.0  # long ago: patience is over at once

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.answers: dict[str, asyncio.Future[str]] = {}
        self.asked = {name: asyncio.Event() for name in ("new", "old")}
        self.left: list[str] = []
        self.dropped: list[str] = []

    def will(self, name: str, what: str | ServingError) -> None:
        answer = self.answers.setdefault(name, asyncio.get_running_loop().create_future())
        answer.set_exception(what) if isinstance(what, ServingError) else answer.set_result(what)

    async def to(self, model):
        self.asked[model.name].set()
        answer = self.answers.setdefault(model.name, asyncio.get_running_loop().create_future())
        try:
            return model, await answer
        except asyncio.CancelledError:
            self.left.append(model.name)
            raise

    def measure(self, found, began, tell) -> None:  # noqa: ARG002
        tell(None if found == "half" else Timing(3, 0.1))

    def drop(self, found) -> None:
        self.dropped.append(found)


def told(script) -> SimpleNamespace:
    """Ask the new version while a script lets the two answer; return what came of it."""

    async def run():
        old, new = (SimpleNamespace(name=name, asking=0, label_names=()) for name in ("old", "new"))
        new.identity = SimpleNamespace(name="chat", version="2")
        trial = Trial(Key("2", "late:fp32"), ServingConfig(rollout="canary"))
        question, figures = Asked(), Figures(Metrics())
        asking = asyncio.ensure_future(ask_new(trial, new, old, question, figures))
        await question.asked["new"].wait()
        await script(question, trial)
        try:
            found = (await asyncio.wait_for(asking, 10))[1]
        except ServingError as error:
            found = error
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        side = trial.tally.new
        return SimpleNamespace(
            found=found, requests=side.requests, errors=side.errors, asked=question, asking=old.asking
        )

    return asyncio.run(run())


def test_a_long_answer_of_the_new_version_counts_though_the_old_one_was_asked_as_well():
    async def script(question, _):
        await question.asked["old"].wait()
        question.will("new", "from the new one")

    end = told(script)
    assert (end.found, end.requests, end.errors, end.asking) == ("from the new one", 1, 0, 0)
    assert end.asked.left == ["old"]


def test_a_version_that_is_overtaken_by_the_old_one_has_failed():
    async def script(question, _):
        await question.asked["old"].wait()
        question.will("old", "from the old one")

    end = told(script)
    assert (end.found, end.requests, end.errors) == ("from the old one", 1, 1)
    assert end.asked.left == ["new"]


def test_an_answer_that_nobody_reads_is_dropped():
    async def script(question, _):
        await question.asked["old"].wait()
        question.will("new", "from the new one")
        question.will("old", "from the old one")

    end = told(script)
    assert (end.found, end.asked.dropped) == ("from the new one", ["from the old one"])


@pytest.mark.parametrize("fault", [unanswerable("out of tune"), timed_out(1), REFUSED])
def test_what_the_new_version_can_not_answer_and_the_old_one_can_is_its_fault(fault):
    async def script(question, _):
        question.will("new", fault)
        await question.asked["old"].wait()
        question.will("old", "from the old one")

    end = told(script)
    assert (end.found, end.requests, end.errors) == ("from the old one", 1, 1)


@pytest.mark.parametrize("fault", [unanswerable("out of tune"), REFUSED])
def test_what_neither_can_answer_says_nothing_of_the_new_version(fault):
    async def script(question, _):
        question.will("new", fault)
        question.will("old", REFUSED)

    end = told(script)
    assert (end.found, end.requests) == (REFUSED, 0)


def test_a_full_queue_of_the_new_version_is_no_fault_of_its_own():
    async def script(question, _):
        question.will("new", overloaded(1))
        question.will("old", "from the old one")

    end = told(script)
    assert (end.found, end.requests) == ("from the old one", 0)


def test_what_a_version_has_in_work_when_it_is_taken_away_the_old_one_answers():
    async def script(question, trial):
        trial.end(is_promoted=False)
        await question.asked["old"].wait()
        question.will("old", "from the old one")

    end = told(script)
    assert (end.found, end.requests, end.asked.left) == ("from the old one", 0, ["new"])


def test_an_answer_that_breaks_off_is_a_failure():
    async def script(question, _):
        question.will("new", "half")

    end = told(script)
    assert (end.found, end.requests, end.errors) == ("half", 1, 1)
