"""The judge against a real server in this process."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from written_answers import answers_of

from tunewright.config.language import Judge
from tunewright.evaluation.language import endpoint
from tunewright.evaluation.language.judge import judge_pairs
from tunewright.support.errors import InputError, TunewrightError

KEY = "sk-do-not-show"


class Server:
    """Answers with what ``reply`` makes of a question: a status, headers and a body."""

    def __init__(self):
        self.asked, self.keys, self.reply = [], [], None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.keys.append(self.headers.get("Authorization"))
                outer.asked.append(body)
                status, headers, text = outer.reply(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # who asked has given up
                    self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(endpoint, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv("JUDGE_KEY", KEY)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def said(word):
    return 200, {}, json.dumps({"choices": [{"message": {"content": word}}]}).encode()


def by_length(body):
    """An honest judge: the longer answer is better."""
    material = json.loads(body["messages"][1]["content"])
    first, second = len(material["first"]), len(material["second"])
    return said("TIE" if first == second else "FIRST" if first > second else "Second.")


def models(rows=6):
    references = ["right"] * rows
    subject = ["a long answer", "a long answer", "short", "abc", "same", "same  "][:rows]
    rival = ["short", "short", "a long answer", "xyz", "same", "same"][:rows]
    return answers_of(subject, references), answers_of(rival, references, name="base", role="base")


def judged(server, tmp_path, **settings):
    config = Judge(url=server.url, model="wise", key_variable="JUDGE_KEY", **settings)
    return judge_pairs(*models(), config=config, cache=tmp_path / "verdicts.jsonl", confidence=0.95)


def test_both_orders_are_asked_and_nothing_is_asked_twice(server, tmp_path, capsys):
    server.reply = by_length
    found = judged(server, tmp_path)
    assert (found.wins, found.losses, found.ties, found.rows, found.asked) == (2, 1, 3, 6, 8)
    assert found.win_rate.value == pytest.approx(3.5 / 6)
    assert found.win_rate.low < 3.5 / 6 < found.win_rate.high
    assert {body["temperature"] for body in server.asked} == {0}
    assert set(server.keys) == {f"Bearer {KEY}"}
    again = judged(server, tmp_path)
    assert (again.asked, len(server.asked), again.wins) == (0, 8, 2)
    captured = capsys.readouterr()
    written = captured.err + captured.out + (tmp_path / "verdicts.jsonl").read_text()
    assert KEY not in written


def test_a_judge_that_favours_a_position_decides_nothing(server, tmp_path):
    server.reply = lambda _: said("FIRST")
    found = judged(server, tmp_path)
    assert (found.wins, found.losses, found.contradictory) == (0, 0, 4)
    assert found.win_rate.value == 0.5


def test_busy_and_broken_servers_are_asked_again(server, tmp_path):
    troubles = iter([(429, {"Retry-After": "0"}, b""), (500, {}, b"oops"), (503, {}, b"")])
    server.reply = lambda body: next(troubles, None) or by_length(body)
    found = judged(server, tmp_path)
    assert (found.wins, found.losses, found.unanswered) == (2, 1, 0)
    assert len(server.asked) == found.asked + 3


def test_chatter_is_no_verdict_and_is_remembered(server, tmp_path):
    server.reply = lambda _: said("FIRST, because it is longer and SECOND is short")
    found = judged(server, tmp_path)
    assert (found.unclear, found.rows) == (4, 2)
    assert judged(server, tmp_path).asked == 0


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b"[" * 50_000, b"null"])
def test_garbage_ends_the_questions_soon(server, tmp_path, body):
    server.reply = lambda _: (200, {}, body)
    with pytest.raises(TunewrightError, match="something else than a chat completion"):
        judged(server, tmp_path)
    assert len(server.asked) == 3


def test_one_lost_answer_costs_one_pair(server, tmp_path):
    server.reply = lambda body: (200, {}, b"<html>") if len(server.asked) == 2 else by_length(body)
    found = judged(server, tmp_path)
    assert (found.unanswered, found.wins, found.rows) == (1, 1, 5)
    assert judged(server, tmp_path).asked == 1


def test_a_server_that_always_fails_is_given_up_after_bounded_tries(server, tmp_path):
    server.reply = lambda _: (500, {}, b"")
    with pytest.raises(TunewrightError, match="status 500"):
        judged(server, tmp_path)
    assert len(server.asked) == 3 * (1 + endpoint.RETRIES)


def test_a_silent_server_is_given_up_in_time(server, tmp_path):
    server.reply = lambda body: time.sleep(0.5) or by_length(body)
    began = time.monotonic()
    with pytest.raises(TunewrightError, match="gave no answer") as caught:
        judged(server, tmp_path, timeout_s=0.1)
    assert time.monotonic() - began < 3
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("status", "mend"), [(401, "JUDGE_KEY"), (404, "/v1")])
def test_a_refusal_ends_the_questions_at_once(server, tmp_path, status, mend):
    server.reply = lambda _: (status, {}, b"")
    with pytest.raises(InputError, match=mend):
        judged(server, tmp_path)
    assert len(server.asked) == 1


def test_the_key_does_not_follow_a_redirect(server, tmp_path):
    server.reply = lambda _: (302, {"Location": "http://127.0.0.1:1/elsewhere"}, b"")
    with pytest.raises(TunewrightError, match="status 302"):
        judged(server, tmp_path)


def test_a_half_written_verdict_is_asked_again(server, tmp_path):
    server.reply = by_length
    judged(server, tmp_path)
    cache = tmp_path / "verdicts.jsonl"
    cache.write_text(cache.read_text()[:-20] + "\n", encoding="utf-8")
    assert judged(server, tmp_path).asked == 1


def test_nobody_is_asked_unless_told(tmp_path):
    assert judge_pairs(*models(), config=Judge(), cache=tmp_path / "v.jsonl", confidence=0.95) is None
    with pytest.raises(InputError, match=r"judge\.url"):
        judge_pairs(
            *models(), config=Judge(url="ftp://x", model="m"), cache=tmp_path / "v.jsonl", confidence=0.95
        )
