"""``/v1/rollout``: which versions share the traffic; promote or roll back now; MLflow's webhook."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import Endpoint
from tunewright.serving.faults import CONFLICT, FORBIDDEN, NOT_FOUND, UNAUTHORIZED, ServingError
from tunewright.serving.rollout.webhook import SECRET, is_genuine

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call
    from tunewright.serving.rollout.conducting import Rollout
    from tunewright.serving.rollout.shadow import Shadow
    from tunewright.serving.rollout.trial import Trial

ADMIN = "admin"
"""The scope that moves traffic."""


class RolloutBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is to be done with the new version."""

    do: Literal["promote", "roll_back"]


class AliasMoved(msgspec.Struct, frozen=True):
    """MLflow's message; only its signature matters, for the registry is asked anyway."""

    entity: str
    action: str
    timestamp: str
    data: dict[str, Any]


class Standing(msgspec.Struct, frozen=True):
    """The version that has stood the test."""

    version: str
    engine: str
    share: float


class ShadowFigures(msgspec.Struct, frozen=True):
    """How a shadow's answers compare."""

    skipped: int
    """Requests that it wasn't shown, for it was behind."""
    texts: int | msgspec.UnsetType = msgspec.UNSET
    """Of a classifier, as the next two."""
    same_label: int | msgspec.UnsetType = msgspec.UNSET
    largest_logit_difference: float | msgspec.UnsetType = msgspec.UNSET
    answers: int | msgspec.UnsetType = msgspec.UNSET
    """Of a language model, as the next three."""
    same_answer: int | msgspec.UnsetType = msgspec.UNSET
    """Answers of which every token is the same."""
    tokens: int | msgspec.UnsetType = msgspec.UNSET
    """Of the answers that were given."""
    same_tokens: int | msgspec.UnsetType = msgspec.UNSET
    """Of them, those before the first that differs."""


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The new version, with what was counted in the present step."""

    version: str
    engine: str
    phase: str
    """fetching, opening, certifying, or rolling out."""
    since: float
    """Seconds since 1970."""
    share: float
    requests: int
    errors: int
    slow: int
    """Of ``timed`` answers, those beyond the bound on the old version's p95; of a language model, first tokens."""
    timed: int
    worker_restarts: int
    token_slow: int = 0
    """Of ``token_timed`` answers of a language model, those whose tokens took longer than the bound."""
    token_timed: int = 0
    shadow: ShadowFigures | None = None


class RefusalCard(msgspec.Struct, frozen=True):
    """A version that was refused or sent back."""

    version: str
    engine: str
    why: str
    at: float


class RolloutState(msgspec.Struct, frozen=True):
    """Who answers, and what is on its way."""

    mode: str
    watching: str | None
    """The reference; null where a fixed version or a folder is served."""
    registry: str
    """Empty while it answers; else what is wrong."""
    registry_seen_at: float | None
    current: Standing | None
    candidate: Candidate | None
    refusals: list[RefusalCard]
    """The last ones, newest first."""


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    path = "/v1/rollout"
    yield Endpoint(
        path, show, "Tell which versions share the traffic", method="GET", gives=RolloutState, faults=(503,)
    )
    yield Endpoint(
        path,
        steer,
        "Promote the new version now, or send it back",
        takes=RolloutBody,
        gives=RolloutState,
        examples={"promote": {"do": "promote"}, "roll back": {"do": "roll_back"}},
        faults=(400, 403, 409, 413, 415, 503),
    )
    yield Endpoint(
        f"{path}/webhook",
        hear,
        "Hear from MLflow that an alias has moved",
        takes=AliasMoved,
        examples={
            "an alias": {
                "entity": "model_version_alias",
                "action": "created",
                "timestamp": "2026-01-01T00:00:00+00:00",
                "data": {"name": "spam", "alias": "champion", "version": "2"},
            }
        },
        faults=(401, 404, 413, 503),
    )


async def show(call: Call) -> Response:
    """Answer with the state."""
    return answer_json(_state(call))


async def steer(call: Call) -> Response:
    """Do what an administrator says."""
    _require_admin(call)
    body = await call.json(RolloutBody)
    rollout = call.service.rollout
    trial = rollout.trial if rollout else None
    if rollout is None or trial is None or (body.do == "promote" and trial.opened is None):
        fact = "the new version is not certified yet" if trial else "there is no new version"
        raise ServingError(fact, status=CONFLICT, code="no_candidate", mend="see GET /v1/rollout")
    if body.do == "promote":
        rollout.promote("by hand")
    else:
        rollout.send_back("by hand")
    return answer_json(_state(call))


async def hear(call: Call) -> Response:
    """Take a signed message as a hint to look at the registry."""
    rollout, secret = call.service.rollout, os.environ.get(SECRET, "")
    if rollout is None or not secret:
        raise ServingError(
            "no webhook is expected",
            status=NOT_FOUND,
            code="not_found",
            mend=f"serve an alias with {SECRET} set",
        )
    if not is_genuine(call.asked.headers, await call.body(), secret, time.time()):
        raise ServingError(
            "the signature is missing, wrong or old", status=UNAUTHORIZED, code="bad_signature"
        )
    rollout.hint()
    return answer_json({"status": "ok"})


def _require_admin(call: Call) -> None:
    """Refuse who may not move traffic; without keys only this machine may.

    Raises:
        ServingError: When the caller may not.
    """
    is_keyless = not call.asked.caller.key
    if ADMIN in call.asked.caller.scopes or (is_keyless and _is_loopback(call.asked.host)):
        return
    mend = "ask from this machine" if is_keyless else f"use a key with the scope {ADMIN}"
    raise ServingError("may not move traffic", status=FORBIDDEN, code="forbidden", mend=mend)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _state(call: Call) -> RolloutState:
    service, rollout = call.service, call.service.rollout
    trial = rollout.trial if rollout else None
    current = None
    if service.models:
        identity = service.models[0].identity
        current = Standing(identity.version, identity.form, 1 - (trial.share if trial else 0.0))
    return RolloutState(
        mode=service.settings.rollout,
        watching=_watched(rollout) if rollout else None,
        registry=rollout.trouble if rollout else "",
        registry_seen_at=rollout.seen_at if rollout else None,
        current=current,
        candidate=_candidate(trial, call) if trial else None,
        refusals=[
            RefusalCard(each.key.version, each.key.form, each.why, each.at)
            for each in reversed(rollout.refusals if rollout else ())
        ],
    )


def _watched(rollout: Rollout) -> str:
    return rollout.request.reference or f"{rollout.current.identity.name}@champion"


def _candidate(trial: Trial, call: Call) -> Candidate:
    deaths = trial.deaths
    seen, shadow = trial.tally.seen(deaths), trial.shadow
    return Candidate(
        version=trial.key.version,
        engine=trial.opened.identity.form if trial.opened else trial.key.form,
        phase=trial.phase,
        since=trial.since,
        share=trial.share,
        requests=seen.requests,
        errors=seen.errors,
        slow=seen.slow,
        timed=seen.timed,
        worker_restarts=deaths,
        token_slow=seen.token_slow,
        token_timed=seen.token_timed,
        shadow=_shadow(shadow, is_writing=call.service.models[0].task == "generation")
        if trial.is_shadow
        else None,
    )


def _shadow(shadow: Shadow, *, is_writing: bool) -> ShadowFigures:
    if is_writing:
        return ShadowFigures(
            shadow.skipped,
            answers=shadow.answers,
            same_answer=shadow.agreeing,
            tokens=shadow.tokens,
            same_tokens=shadow.same_tokens,
        )
    return ShadowFigures(
        shadow.skipped,
        texts=shadow.texts,
        same_label=shadow.agreeing,
        largest_logit_difference=shadow.largest_difference,
    )
