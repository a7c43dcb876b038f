"""A server with the page and a language model that always says the same: ``python talking_server.py PORT_FILE``.

It speaks OpenAI's streamed chat completions. What a message asks for decides how the answer goes: ``slowly``, ``cut``,
``fail``, ``refuse``, ``late``. Each request is written to PORT_FILE.asked, one JSON line each.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from pathlib import Path

from aiohttp import web
from fake_server import serve_routes

from tunewright.serving.page_files import page_files

WORDS = ["The", " red", " kettle", " is <b>on</b>", " its way", ".\n", "Bye", " 😀"]
SHARES = [0.99, 0.6, 0.9, 0.1, 0.3, 0.95, 0.02, 0.7]
MODEL = {
    "id": "shop", "version": "2", "aliases": ["champion"], "engine": "onnx:int4", "digest": "ab", "created": 1,
    "task": "generation", "labels": [], "max_tokens": 512, "object": "model", "owned_by": "tunewright",
}  # fmt: skip
MODELS = [MODEL, {**MODEL, "id": "shop@challenger", "version": "3", "aliases": ["challenger"]}]
ASKED = Path(sys.argv[1] + ".asked")


async def page(request: web.Request) -> web.Response:
    file = page_files()[request.match_info.get("name", "index.html")]
    return web.Response(body=file.body, headers={"content-type": file.kind, **file.headers})


async def models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": MODELS})


async def chat(request: web.Request) -> web.StreamResponse:
    body = await keep(request)
    says = body["messages"][-1]["content"]
    if "refuse" in says:
        return web.json_response({"error": {"message": "too many wait", "code": "overloaded"}}, status=429)
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-prediction-id": "pred_7"})
    await response.prepare(request)
    await event(response, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    for word, share in zip(WORDS, SHARES, strict=True):
        await asyncio.sleep(0.4 if "slowly" in says else 0.01)
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": word, "logprob": math.log(share)}]}
        await event(response, {"id": "chatcmpl-1", "choices": [choice], "usage": None})
        if "cut" in says:
            return response
        if "fail" in says:
            await event(response, {"error": {"message": "out of memory", "code": "engine_failed"}})
            return response
    await event(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    await event(response, {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": len(WORDS)}})
    await response.write(b"data: [DONE]\n\n")
    return response


async def feedback(request: web.Request) -> web.Response:
    return web.json_response({"prediction_id": (await keep(request))["prediction_id"], "object": "feedback"})


async def keep(request: web.Request) -> dict:
    body = await request.json()
    with ASKED.open("a") as file:
        file.write(json.dumps({"path": request.path, **body}) + "\n")
    return body


async def event(response: web.StreamResponse, value: dict) -> None:
    """Send an event in two pieces, cut where UTF-8 may be."""
    line = b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
    middle = line.find("😀".encode()) + 2 if "😀".encode() in line else len(line) // 2
    for piece in (line[:middle], line[middle:]):
        await response.write(piece)
        await asyncio.sleep(0.002)


async def plain(request: web.Request) -> web.Response:
    bodies = {
        "/health/ready": '{"status": "ready"}',
        "/metrics": 'tunewright_state{state="ready"} 1.0\ntunewright_tokens_total{model="shop"} 5.0\n',
        "/v1/rollout": '{"mode": "all", "watching": null, "registry": "", "registry_seen_at": null, '
        '"current": {"version": "2", "engine": "onnx:int4", "share": 1.0}, "candidate": null, "refusals": []}',
    }
    return web.Response(text=bodies[request.path])


serve_routes(
    [
        web.get("/", page),
        web.get("/page/{name}", page),
        web.get("/v1/models", models),
        web.post("/v1/chat/completions", chat),
        web.post("/v1/feedback", feedback),
        *(web.get(path, plain) for path in ("/health/ready", "/metrics", "/v1/rollout")),
    ]
)
