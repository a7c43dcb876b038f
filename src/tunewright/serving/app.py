"""The HTTP application: routes from the table of endpoints, the gate around them, and the OpenAPI document."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 -- FastAPI reads the annotation
from starlette.responses import Response

from tunewright.serving.asked import SCOPE_KEY
from tunewright.serving.call import Call
from tunewright.serving.endpoint import Endpoint, components
from tunewright.serving.faults import NOT_FOUND, ServingError
from tunewright.serving.gate import Gate
from tunewright.serving.routes import (
    chat,
    classify,
    completions,
    decisions,
    embeddings,
    feedback,
    mlflow,
    models,
    page,
    rollout,
    tokenize,
    watching,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tunewright.serving.service import Service

SUBJECTS = (
    classify, chat, completions, tokenize, embeddings, decisions, feedback, models, mlflow, rollout, watching, page,
)  # fmt: skip
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
"""How a key is sent, as the OpenAPI document says it."""


class PlainRoute(APIRoute):
    """A route whose handler reads the request itself: FastAPI's own reading costs more than all that we do."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the endpoint as it is."""
        return self.endpoint


class Shortcut:
    """ASGI before the router: a path without variables is found by one look.

    The router's way to the same function costs as much as everything else that we do for a request.

    Args:
        app: The router, for all other paths.
        service: What stands behind the routes.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._known = {(each.method, each.path): each for each in all_endpoints()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        endpoint = self._known.get((scope.get("method", ""), scope.get("path", "")))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = endpoint
        answer = await endpoint.handler(Call(self._service, scope[SCOPE_KEY], receive, {}))
        await answer(scope, receive, send)


def build_app(service: Service) -> FastAPI:
    """Build the application around a service."""
    app = FastAPI(
        title="tunewright", version=importlib.metadata.version("tunewright"), docs_url=None, redoc_url=None
    )
    for endpoint in all_endpoints():
        app.router.add_api_route(
            endpoint.path,
            _handler(endpoint, service),
            methods=[endpoint.method],
            summary=endpoint.summary,
            name=endpoint.handler.__name__,
            response_class=Response,
            response_model=None,
            route_class_override=PlainRoute,
            openapi_extra=endpoint.document(),
        )
    app.add_middleware(Shortcut, service=service)
    app.add_middleware(Gate, service=service)  # the last one added stands outermost
    app.add_exception_handler(HTTPException, _as_fault)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def all_endpoints() -> Iterator[Endpoint]:
    """Give every endpoint."""
    for subject in SUBJECTS:
        yield from subject.endpoints()


def _handler(endpoint: Endpoint, service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Give an endpoint's function the request as it wants it."""

    async def handle(request: Request) -> Response:
        return await endpoint.handler(
            Call(service, request.scope[SCOPE_KEY], request.receive, request.path_params)
        )

    return handle


async def _as_fault(request: Request, error: Exception) -> Response:
    """Hand what the router says about a path or a method over to the gate."""
    status = getattr(error, "status_code", NOT_FOUND)
    path, method = request.url.path[:200], request.method
    fact = "no such path" if status == NOT_FOUND else f"doesn't take {method}"
    raise ServingError(
        fact,
        status=status,
        param=path,
        code="not_found" if status == NOT_FOUND else "method_not_allowed",
        mend="see /openapi.json",
        headers=getattr(error, "headers", None),
    )


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document."""
    if not app.openapi_schema:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        kinds = [kind for each in all_endpoints() for kind in (each.takes, each.gives) if kind]
        found.setdefault("components", {})["schemas"] = components(kinds)
        found["components"]["securitySchemes"] = KEYS
        found["security"] = [{}, *({name: []} for name in KEYS)]
        app.openapi_schema = found
    return app.openapi_schema
