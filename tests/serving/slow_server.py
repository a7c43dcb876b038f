"""A server with known delays, for the load tool: ``python slow_server.py PORT_FILE``; answers depend on the path."""

from __future__ import annotations

import asyncio
import json
import time

from aiohttp import web
from fake_server import serve_routes

counts = {"stall": 0, "under way": 0}


async def delayed(request: web.Request) -> web.Response:
    """``/delay/30``: answer after 30 ms what was asked."""
    body = await request.json()
    await asyncio.sleep(int(request.match_info["ms"]) / 1000)
    return web.json_response({"asked": body})


async def stalling(request: web.Request) -> web.Response:
    """``/stall/150``: answer at once, but stand still for a second at the 150th request."""
    counts["stall"] += 1
    if counts["stall"] == int(request.match_info["at"]):
        time.sleep(1)
    return web.json_response({})


async def limited(request: web.Request) -> web.Response:
    """``/limited/4``: four at a time, 50 ms each; more are turned away."""
    if counts["under way"] >= int(request.match_info["slots"]):
        return web.json_response({"error": "full"}, status=429, headers={"Retry-After": "1"})
    counts["under way"] += 1
    try:
        await asyncio.sleep(0.05)
    finally:
        counts["under way"] -= 1
    return web.json_response({})


async def streaming(request: web.Request) -> web.StreamResponse:
    """``/stream/KIND``: a role, 40 ms, six tokens 20 ms apart; ``cut``, ``error`` and ``silent`` go wrong."""
    kind = request.match_info["kind"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)

    async def event(value) -> None:
        await response.write(
            b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
        )

    await event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    await asyncio.sleep(0.04)
    for number in range(6):
        if number:
            await asyncio.sleep(0.02)
        await event({"choices": [{"delta": {"content": f" {number}"}}]})
        if kind == "cut":
            request.transport.abort()
            return response
    if kind == "error":
        await event({"error": {"message": "out of memory"}})
    await event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    if kind != "silent":
        await event(b"[DONE]")
    return response


async def status(request: web.Request) -> web.Response:
    """``/status/503``."""
    return web.Response(status=int(request.match_info["code"]), headers={"Location": "/delay/0"})


async def closing(request: web.Request) -> web.Response:
    """Close the connection after each answer."""
    response = web.json_response({"usage": {"completion_tokens": 5}})
    response.force_close()
    return response


async def usage(request: web.Request) -> web.Response:
    """Say which key came."""
    ok = request.headers.get("Authorization") == "Bearer tw-secret"
    return web.json_response({}, status=200 if ok else 401)


serve_routes(
    [
        web.post("/delay/{ms}", delayed),
        web.post("/stall/{at}", stalling),
        web.post("/limited/{slots}", limited),
        web.post("/stream/{kind}", streaming),
        web.post("/status/{code}", status),
        web.post("/closing", closing),
        web.post("/key", usage),
    ]
)
