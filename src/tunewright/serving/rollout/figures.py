"""What Prometheus hears of rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from tunewright.serving.rollout.shadow import Labels

if TYPE_CHECKING:
    from tunewright.serving.metrics import Metrics
    from tunewright.serving.rollout.conducting import Rollout
    from tunewright.serving.rollout.shadow import Compared
    from tunewright.serving.served import ServedModel

DIFFERENCES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""From rounding to another model."""


class Figures:
    """Counters of rollouts.

    Args:
        metrics: The server's.
    """

    def __init__(self, metrics: Metrics) -> None:
        own = metrics.registry
        self._look = metrics.look
        self._rollouts = Counter("tunewright_rollouts", "New versions.", ("model", "outcome"), registry=own)
        """promoted, refused (before any request), rolled_back, withdrawn (the alias moved on), or postponed."""
        self._requests = Counter(
            "tunewright_rollout_requests",
            "Requests to a new version while the old one stood beside it.",
            ("model", "version", "outcome"),
            registry=own,
        )
        """answered, or failed (the old version answered instead, or a stream broke off)."""
        self._texts = Counter(
            "tunewright_shadow_texts",
            "Texts that a shadow answered, and whether with the same label.",
            ("model", "version", "label"),
            registry=own,
        )
        self._difference = Histogram(
            "tunewright_shadow_logit_difference",
            "Largest difference of a logit between a shadow and the served version, each request.",
            ("model", "version"),
            buckets=DIFFERENCES,
            registry=own,
        )
        self._answers = Counter(
            "tunewright_shadow_answers",
            "Answers that a shadow wrote as well, and whether with the same tokens.",
            ("model", "version", "answer"),
            registry=own,
        )
        self._tokens = Counter(
            "tunewright_shadow_tokens",
            "Tokens of the answers that were given: the same up to the shadow's first that differs, or other.",
            ("model", "version", "token"),
            registry=own,
        )

    def look_at(self, rollout: Rollout) -> None:
        """Let the metrics read what is known without counting."""
        self._look(
            "tunewright_rollout_share",
            "Share of the requests of each version.",
            lambda: _shares(rollout),
            *("model", "version", "engine"),
        )
        self._look(
            "tunewright_registry_reachable",
            "1 while the registry answers.",
            lambda: {(): float(not rollout.trouble)},
        )

    def ended(self, name: str, outcome: str) -> None:
        """Count the end of a rollout."""
        self._rollouts.labels(name, outcome).inc()

    def answered(self, model: ServedModel) -> None:
        """Count an answer of a new version."""
        self._requests.labels(model.identity.name, model.identity.version, "answered").inc()

    def failed(self, model: ServedModel) -> None:
        """Count a request that a new version failed at."""
        self._requests.labels(model.identity.name, model.identity.version, "failed").inc()

    def compared(self, model: ServedModel, found: Compared) -> None:
        """Count a shadow's answer to a request."""
        words = (model.identity.name, model.identity.version)
        self.answered(model)
        if isinstance(found, Labels):
            self._texts.labels(*words, "same").inc(found.agreeing)
            self._texts.labels(*words, "other").inc(found.texts - found.agreeing)
            self._difference.labels(*words).observe(found.largest_difference)
        else:
            self._answers.labels(*words, "same").inc(found.agreeing)
            self._answers.labels(*words, "other").inc(found.answers - found.agreeing)
            self._tokens.labels(*words, "same").inc(found.same_tokens)
            self._tokens.labels(*words, "other").inc(found.tokens - found.same_tokens)


def _shares(rollout: Rollout) -> dict[tuple[str, ...], float]:
    """Return who gets how much."""
    if not rollout.service.models:
        return {}
    identity, trial = rollout.current.identity, rollout.trial
    share = trial.share if trial else 0.0
    found: dict[tuple[str, ...], float] = {(identity.name, identity.version, identity.form): 1 - share}
    if trial:
        found[identity.name, trial.key.version, trial.key.form] = share
    return found
