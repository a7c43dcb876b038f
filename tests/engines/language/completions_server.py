"""A small OpenAI-compatible server: ``python completions_server.py FOLDER PORT [NAME=FOLDER]…``.

The first is called ``stories``; others stand for adapters, which such servers list as models of their own.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, port = sys.argv[1], int(sys.argv[2])
if folder.endswith("crash"):
    sys.exit("no such model")
torch.set_num_threads(1)
models = {
    name: AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, local_files_only=True).eval()
    for name, place in [("stories", folder), *(word.split("=", 1) for word in sys.argv[3:])]
}
tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
counts = {"asked": 0, "left": 0, "running": 0}
failures = {"times": 0}
lock = threading.Lock()


def scores(name: str, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.log_softmax(models[name](torch.tensor([ids])).logits[0].float(), -1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def say(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            self.say({})
        elif self.path == "/counts":
            self.say(counts)
        else:
            self.say({"data": [{"id": name} for name in models]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/fail":
            failures.update(asked)
            self.say({})
            return
        with lock:
            counts["asked"] += 1
        if asked.get("model") not in models:
            self.say({"error": {"message": "no such model"}}, 404)
        elif failures["times"]:
            failures["times"] -= 1
            self.say({"error": {"message": "busy"}}, 503)
        elif asked.get("echo"):
            found = scores(asked["model"], asked["prompt"])
            values = [float(found[at, token]) for at, token in enumerate(asked["prompt"][1:])]
            self.say({"choices": [{"logprobs": {"token_logprobs": [None, *values, 0.0]}}]})
        else:
            self.stream(asked)

    def stream(self, asked):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        ids = list(asked["prompt"])
        draw = torch.Generator().manual_seed(asked["seed"])
        counts["running"] += 1
        try:
            for number in range(asked["max_tokens"]):
                last = scores(asked["model"], ids)[-1]
                if asked["temperature"]:
                    token = int(
                        torch.multinomial((last / asked["temperature"]).softmax(-1), 1, generator=draw)
                    )
                else:
                    token = int(last.argmax())
                ids.append(token)
                stops = token in asked["stop_token_ids"] and not asked["ignore_eos"]
                reason = "stop" if stops else "length" if number + 1 == asked["max_tokens"] else None
                choice = {
                    "text": tokenizer.decode([token]),
                    "token_ids": [token],
                    "logprobs": {"token_logprobs": [float(last[token])], "top_logprobs": [{}]},
                    "finish_reason": reason,
                }
                self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
                if number == failures.get("breaks_at"):
                    return
                if reason:
                    break
                time.sleep(0.002)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            counts["left"] += 1
        finally:
            counts["running"] -= 1


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
