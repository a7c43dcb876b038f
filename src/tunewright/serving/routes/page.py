"""``/``: a page for people, and the files that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.responses import Response

from tunewright.serving.endpoint import Endpoint
from tunewright.serving.faults import NOT_FOUND, ServingError
from tunewright.serving.page_files import INDEX, page_files

if TYPE_CHECKING:
    from tunewright.serving.call import Call

NOT_MODIFIED = 304


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint("/", index, "Show a page to try the models", method="GET")
    yield Endpoint("/page/{name}", part, "Give a file of that page", method="GET", faults=(404,))


async def index(call: Call) -> Response:
    """Show the page."""
    return _sent(call, INDEX)


async def part(call: Call) -> Response:
    """Give one of its files."""
    return _sent(call, call.path_values["name"])


def _sent(call: Call, name: str) -> Response:
    found = page_files().get(name)
    if found is None:
        raise ServingError(
            "the page has no such file", status=NOT_FOUND, code="not_found", param=name[:100], mend="see /"
        )
    if found.is_known(call.asked.headers.get("if-none-match", "")):
        return Response(status_code=NOT_MODIFIED, headers=found.headers)
    return Response(found.body, headers={"content-type": found.kind, **found.headers})
