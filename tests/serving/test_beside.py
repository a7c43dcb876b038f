"""Models beside the first one: what they are called, who answers, and what happens when one of them fails."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psutil
import pytest
import requests
from swapping import until

from running import TEXTS
from tunewright.serving.beside import Wanted, named
from tunewright.serving.opening import Found
from tunewright.support.errors import InputError

CLOSE = 2e-4
"""fp32 on another engine."""


def found(name: str, version: str, *, is_registered: bool = True) -> Found:
    certificate = Path("certificate.json") if is_registered else None
    return Found(folder=Path("x"), name=name, version=version, certificate=certificate)


@pytest.mark.parametrize(
    ("references", "called"),
    [
        ([("mail@challenger", "4"), ("mail/2", "2"), ("base", "1")], ["mail@challenger", "mail/2", "base"]),
        ([("mail", "3")], ["mail/3"]),  # the first one has the plain name
        ([("mail@a", "3"), ("mail@b", "3")], ["mail@a", "mail@b"]),
    ],
)
def test_each_is_called_what_nothing_else_is(references, called):
    names = [re.split("[@/]", words)[0] for words, _ in references]
    wanted = [
        Wanted(words, found(name, version)) for name, (words, version) in zip(names, references, strict=True)
    ]
    assert [each.called for each in named(wanted, first=found("mail", "3"))] == called


def test_a_folder_is_called_by_its_name():
    one, other = (Wanted(f"/{at}/int8", found("int8", f"digest{at}", is_registered=False)) for at in "ab")
    assert [each.called for each in named([one, other], first=found("mail", "3"))] == ["int8", "int8/digestb"]
    with pytest.raises(InputError, match="is open already"):
        named([one, one, one], first=found("mail", "3"))


def test_each_is_listed_and_answers_to_its_name(paired, classifier, opposite):
    server = paired.server
    cards = server.get("/v1/models").json()["data"]
    assert [each["id"] for each in cards] == ["mail", "opposite"]
    assert cards[0]["digest"] != cards[1]["digest"]
    assert server.get("/v1/models/opposite").json() == cards[1]
    known = {None: classifier, "mail": classifier, "opposite": opposite}
    known[f"opposite/{cards[1]['version']}"] = opposite
    for name, model in known.items():
        answer = server.classify(TEXTS, **({"model": name} if name else {}))
        expected = [each.probability for each in model.predict(TEXTS)]
        assert [each["probability"] for each in answer.json()["data"]] == pytest.approx(expected, abs=CLOSE)
        assert answer.headers["x-model"] == (name or "mail").partition("/")[0]
    unknown = server.classify("x", model="opposit")
    assert unknown.status_code == 404
    assert "opposite" in unknown.json()["error"]["message"]


def test_figures_are_told_apart_by_model(paired):
    def tokens() -> list[float]:
        figures = paired.server.figures()
        return [figures[f'tunewright_tokens_total{{model="{name}"}}'] for name in ("mail", "opposite")]

    before = tokens()
    used = paired.server.classify("Where is it?", model="opposite").json()["usage"]["total_tokens"]
    assert [after - was for after, was in zip(tokens(), before, strict=True)] == [0, used]
    figures = paired.server.figures()
    for name in ("mail", "opposite"):
        assert figures[f'tunewright_worker_memory_bytes{{model="{name}"}}'] > 0


def test_an_answer_tells_how_long_it_took(paired):
    timing = paired.server.classify("x", model="opposite").headers["server-timing"]
    queue, answer = (float(part.partition("dur=")[2]) for part in timing.split(", "))
    assert 0 <= queue <= answer < 10_000


def test_one_that_can_not_be_opened_is_named(paired, cli, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(paired.copies / "opposite", damaged)
    with (damaged / "model.bin").open("ab") as file:
        file.write(b"x")
    said = cli("serve", str(paired.copies / "mail"), "--beside", str(damaged), "--port", "0")
    assert said.code == 1
    assert "damaged" in said.complaint
    same = [str(paired.copies / "mail")] * 3
    said = cli("serve", same[0], "--beside", same[1], "--beside", same[2], "--port", "0")
    assert said.code == 2
    assert "is open already" in said.complaint


def test_the_first_goes_on_without_the_other(paired, start, tmp_path):
    """The worker of one beside it can't be started again: that one says so, and the first answers."""
    folder, away = tmp_path / "brief", tmp_path / "away"
    shutil.copytree(paired.copies / "opposite", folder)
    server = start(paired.copies / "mail", "--beside", str(folder), "serving.drain_notice_s=0")
    assert server.classify("x", model="brief").status_code == 200
    folder.rename(away)
    for child in workers(server):
        if str(folder) in child.cmdline():
            child.kill()
    until(lambda: server.get("/health/ready").json()["status"] == "degraded")
    assert server.classify("x").status_code == 200

    def asked() -> requests.Response:
        return server.classify("x", model="brief", headers={"x-request-timeout": "0.5"})

    until(lambda: asked().status_code == 503)
    assert asked().json()["error"]["code"] == "down"
    assert server.get("/health/ready").status_code == 200
    assert server.classify("x").status_code == 200
    away.rename(folder)
    until(lambda: asked().status_code == 200)
    assert server.end() == 0


def workers(server) -> list[psutil.Process]:
    found = psutil.Process(server.process.pid).children()
    return [each for each in found if "tunewright.serving.worker" in each.cmdline()]


def test_the_page_is_sent_with_strict_headers(paired):
    url = paired.server.url
    whole = requests.get(url, timeout=10)
    assert whole.headers["content-type"] == "text/html; charset=utf-8"
    policy = whole.headers["content-security-policy"]
    for part in ("default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["referrer-policy"] == "no-referrer"
    again = requests.get(url, headers={"if-none-match": whole.headers["etag"]}, timeout=10)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", whole.headers["etag"])
    for name, kind in (
        ("page.js", "text/javascript"),
        ("page.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ):
        part = requests.get(f"{url}/page/{name}", timeout=10)
        assert part.headers["content-type"].partition(";")[0] == kind
        assert part.headers["content-security-policy"] == policy
    for name in ("__init__.py", "..%2fapp.py", "nothing.js", "%00"):
        assert requests.get(f"{url}/page/{name}", timeout=10).status_code == 404
