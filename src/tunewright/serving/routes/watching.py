"""What watches the server: health and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from tunewright.serving.call import JSON, answer_json
from tunewright.serving.endpoint import Endpoint
from tunewright.serving.faults import UNAVAILABLE
from tunewright.serving.metrics import CONTENT_TYPE
from tunewright.serving.service import TAKES_REQUESTS

if TYPE_CHECKING:
    from tunewright.serving.call import Call


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the server is."""

    status: str
    """starting, ready, degraded (a worker is being replaced), down (that takes too long) or draining."""
    detail: str = ""
    """What is amiss without keeping requests away, such as a registry that doesn't answer."""


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint("/health/live", live, "Tell whether the process answers", method="GET", gives=Health)
    yield Endpoint(
        "/health/ready", ready, "Tell whether requests are taken", method="GET", gives=Health, faults=(503,)
    )
    yield Endpoint("/metrics", figures, "Give figures for Prometheus", method="GET")


async def live(call: Call) -> Response:
    """Answer as long as the process does."""
    return answer_json(_health(call))


async def ready(call: Call) -> Response:
    """Answer 200 when requests are taken, else 503."""
    status = 200 if call.service.state in TAKES_REQUESTS else UNAVAILABLE
    return Response(msgspec.json.encode(_health(call)), status_code=status, media_type=JSON)


async def figures(call: Call) -> Response:
    """Give all figures."""
    return Response(call.service.metrics.page(), headers={"content-type": CONTENT_TYPE})


def _health(call: Call) -> Health:
    rollout = call.service.rollout
    return Health(call.service.state, rollout.trouble if rollout else "")
