"""What pretended servers have in common: routes on any free port, which is written to a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web


def serve_routes(routes: Iterable[web.RouteDef]) -> None:
    """Serve until the process is ended; the port is written to the file that the first argument names."""
    asyncio.run(_serve(routes))


async def _serve(routes: Iterable[web.RouteDef]) -> None:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    Path(sys.argv[1]).write_text(str(port))
    await asyncio.Event().wait()
