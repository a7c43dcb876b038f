"""The page at / in a real browser: asked by keyboard, seen small, dark and by a screen reader's tree."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests
from browsing import Seen, chromium, opened_browser
from guarded import project_with_config
from prometheus_client.parser import text_string_to_metric_families

from tunewright.monitoring.feedback import FILE as FEEDBACK
from tunewright.monitoring.feedback import read_feedback
from tunewright.serving.keys import FILE, KeyStore

EVIL = """<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'"&lt;"""
TEXT = "Where is my order 4471?"


@pytest.fixture(scope="module")
def browser(require):
    """One browser for all tests; here, and not for the session, because its loop would be in the way of others."""
    require(bool(chromium()), "no Chromium: apt-get install chromium, or set TUNEWRIGHT_CHROMIUM")
    require(find_spec("playwright") is not None, "no playwright: pip install playwright")
    with opened_browser() as found:
        yield found


@pytest.fixture
def tab(browser):
    """Open tabs; whatever one of them complains about fails the test, unless it was expected."""
    opened = []

    def call(**options) -> Seen:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        opened.append(Seen(context.new_page()))
        return opened[-1]

    yield call
    for each in opened:
        each.page.context.close()
        assert each.complaints == []


@pytest.fixture(scope="module")
def pretending(tmp_path_factory):
    """The address of ``talking_server.py``, and what gives the requests that it got."""
    port_file = tmp_path_factory.mktemp("talking") / "port"
    script = str(Path(__file__).with_name("talking_server.py"))
    process = subprocess.Popen([sys.executable, script, str(port_file)])
    end = time.monotonic() + 60
    while not (port_file.exists() and port_file.read_text()):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < end
        time.sleep(0.05)
    asked = port_file.with_name("port.asked")
    yield (
        f"http://127.0.0.1:{port_file.read_text()}",
        lambda: [*map(json.loads, asked.read_text().splitlines())],
    )
    process.kill()
    process.wait()


def test_two_models_are_asked_by_keyboard_alone(tab, paired, classifier, opposite):
    seen = tab().open(paired.server.url)
    press = seen.page.keyboard.press
    press("Tab")
    assert seen.run("document.activeElement.textContent") == "Skip to the models"
    press("Enter")
    press("Tab")
    assert seen.run("document.activeElement.id") == "text"
    seen.page.keyboard.type(TEXT)
    press("Control+Enter")
    verdict = seen.says("#try-status", "They disagree")
    for name, model in (("mail", classifier), ("opposite", opposite)):
        (expected,) = model.predict([TEXT])
        card = seen.card(name)
        assert f"{name} says {expected.label}" in verdict
        assert card.locator(".label strong").inner_text() == expected.label
        shown = {
            row.locator(".name").inner_text(): float(row.locator(".share").inner_text().strip("<> %")) / 100
            for row in card.locator(".shares li").all()
        }
        assert shown == pytest.approx(expected.probabilities, abs=0.002)
        assert "Server" in card.locator(".facts").inner_text()
    differing = seen.card("opposite")
    assert differing.locator(".differs").inner_text() == f"≠ mail says {classifier.predict([TEXT])[0].label}"
    assert "differing" in differing.get_attribute("class")
    press("Shift+Tab")  # and back again: nothing traps the focus
    press("Tab")
    steps_to(seen, "summary")
    press("Enter")
    words = seen.card("mail").locator(".tokens li")
    words.first.wait_for()
    ids = [int(each.inner_text().split()[-1]) for each in words.all()]
    assert ids == classifier.encode([TEXT])[0]


def steps_to(seen: Seen, tag: str) -> None:
    """Press Tab until an element of a kind has the focus, which one must see."""
    for _ in range(15):
        seen.page.keyboard.press("Tab")
        assert seen.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if seen.run("document.activeElement.localName") == tag:
            return
    raise AssertionError(f"no {tag} can be reached")


def test_no_text_is_ever_taken_for_html(tab, paired):
    seen = tab().open(paired.server.url)
    seen.ask(EVIL)
    card = seen.card("mail")
    card.get_by_text("tokens").click()
    card.locator(".tokens li").first.wait_for()
    pieces = card.locator(".tokens .piece").all_inner_texts()
    assert "<" in pieces
    assert seen.run("window.hacked") is None
    assert seen.run("document.querySelectorAll('.card img, .card script, .card b').length") == 0
    caught = seen.run(
        "(text) => { try { document.body.innerHTML = text; return '' } catch (e) { return e.name } }", EVIL
    )
    assert caught == "TypeError"  # the policy itself forbids it
    seen.complaints.clear()  # which the console tells


def test_feedback_reaches_the_file(tab, paired):
    file = paired.root / ".tunewright" / FEEDBACK
    seen = tab().open(paired.server.url)
    seen.ask(TEXT)
    card = seen.card("opposite")
    form = card.get_by_role("form")
    form.get_by_role("button", name="Send").click()
    assert "Choose the right label" in form.get_by_role("status").inner_text()
    other = form.get_by_label("or it should be").locator("option").last.get_attribute("value")
    form.get_by_label("or it should be").select_option(other)
    form.get_by_label("Comment").fill(EVIL)
    form.get_by_label("Comment").press("Enter")
    form.get_by_text("it is kept").wait_for()
    seen.card("mail").get_by_role("button", name="Right").click()
    seen.card("mail").get_by_text("it is kept").wait_for()
    said = [
        [each for each in read_feedback(file).rows if each.prediction_id == given_to(seen.card(name))]
        for name in ("opposite", "mail")
    ]
    right = seen.card("mail").locator(".label strong").inner_text()
    assert [[(each.rating, each.label, each.comment) for each in rows] for rows in said] == [
        [("bad", other, EVIL)], [("good", right, None)],
    ]  # fmt: skip


def given_to(card) -> str:
    """The id of the answer that a card shows."""
    return card.locator(".facts .long dd").inner_text()


def test_what_the_server_refuses_is_told_in_its_words(tab, paired):
    seen = tab().open(paired.server.url)
    seen.ask("x" * 20_001)
    assert "allowed are 20,000" in seen.card("mail").locator(".fault").inner_text()
    assert seen.page.locator("#try-status").inner_text() == "2 of 2 models gave no answer."
    seen.ask(TEXT)
    assert seen.page.locator(".fault:visible").count() == 0
    assert len(seen.complaints) == 2  # the browser notes each refused request
    seen.complaints.clear()


def test_a_question_ends_the_one_before_and_escape_ends_both(tab, paired):
    seen = tab().open(paired.server.url)
    held = []

    def hold(route) -> None:  # and never answer
        held.append(route)

    seen.page.route("**/v1/classify", hold)
    field = seen.page.get_by_label("Text", exact=True)
    field.fill("first")
    field.press("Control+Enter")
    seen.says("#try-status", "Asking 2 models")
    field.press("Escape")
    seen.says("#try-status", "Stopped")
    assert seen.page.get_by_text("Stopped.").count() == 3
    assert seen.page.locator("[aria-busy]").count() == 0
    field.press("Control+Enter")
    seen.page.unroute("**/v1/classify")
    field.fill("second")
    field.press("Control+Enter")
    seen.says("#try-status", "They disagree")
    assert len(held) == 4
    assert seen.page.locator("[aria-busy]").count() == 0


def test_the_figures_change_while_the_page_is_looked_at(tab, paired):
    seen = tab().open(paired.server.url)
    seen.says("#live-span", "of the last")
    for _ in range(30):
        paired.server.classify(TEXT)
    seen.says("#fig-p50", "ms")
    assert float(seen.says("#fig-requests", r"[1-9]")) > 0.5
    assert float(seen.says("#fig-tokens", r"[1-9]")) > 1
    assert "MiB" in seen.says("#fig-memory", "opposite")
    assert "doesn't follow an alias" in seen.says("#rollout", "is served")
    assert "Requests a second of late: now " in seen.page.locator("#spark-requests svg").get_attribute(
        "aria-label"
    )
    seen.page.get_by_role("button", name="Pause").press("Enter")
    seen.page.wait_for_timeout(500)
    before = looks(paired)
    seen.page.wait_for_timeout(2600)
    assert looks(paired) == before + 1  # our own one
    seen.page.get_by_role("button", name="Pause").press("Enter")
    seen.page.wait_for_timeout(2600)
    assert looks(paired) > before + 2


def looks(paired) -> float:
    """How often somebody has looked at the figures."""
    return paired.server.figures().get('tunewright_requests_total{route="/metrics",status="200"}', 0.0)


def test_where_keys_are_asked_for_the_page_asks_for_one(tab, paired, start, tmp_path):
    root = project_with_config(tmp_path)
    store = KeyStore(root / ".tunewright" / FILE)
    _, asks = store.make("asks", scopes=["infer"])
    _, rules = store.make("rules", scopes=["admin"])
    server = start(paired.copies / "mail", "serving.drain_notice_s=0", "serving.log_format=plain", cwd=root)
    seen = tab().open(server.url, until="#key-area")
    field = seen.page.get_by_label("Key", exact=True)
    assert "asks for an API key" in seen.page.locator("#key-why").inner_text()
    field.fill("tw-wrong")
    field.press("Enter")
    seen.says("#key-why", "asks for an API key")
    field.fill(asks)
    field.press("Enter")
    seen.card("mail").wait_for()
    assert "scope metrics" in seen.says("#live-note", "scope")
    seen.ask(TEXT)
    seen.card("mail").get_by_role("button", name="Right").click()
    seen.card("mail").get_by_text("lacks the scope feedback").wait_for()
    field.fill(rules)
    field.press("Enter")
    seen.says("#fig-memory", "MiB")
    seen.page.reload()  # it is kept for this tab, and nowhere else
    seen.card("mail").wait_for()
    kept = seen.run(
        "() => [location.href, document.cookie, JSON.stringify(localStorage), document.body.innerHTML]"
    )
    assert not any(asks in each or rules in each for each in kept)
    seen.page.get_by_role("button", name="Forget key").click()
    seen.says("#key-why", "asks for an API key")
    assert seen.run("sessionStorage.length") == 0
    assert all("401" in each or "403" in each for each in seen.complaints)
    seen.complaints.clear()
    assert server.end() == 0
    assert not any(asks in line or rules in line for line in server.said)


def test_a_language_model_is_talked_to(tab, pretending):
    url, asked = pretending
    seen = tab().open(url)
    page = seen.page
    page.get_by_text("Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Colour tokens").check()
    for message in ("Where is it?", "And now?"):
        page.get_by_label("Message").fill(message)
        page.get_by_label("Message").press("Control+Enter")
        seen.says("#chat-status", "challenger answered")
    last = asked()[-1]
    assert (last["temperature"], last["seed"], last["max_tokens"]) == (0.5, 7, 256)
    assert last["stream_options"] == {"include_usage": True}
    answer = "The red kettle is <b>on</b> its way.\nBye 😀"
    assert [(each["role"], each["content"]) for each in last["messages"]] == [
        ("system", "Be brief."), ("user", "Where is it?"), ("assistant", answer), ("user", "And now?"),
    ]  # fmt: skip
    card = seen.card("shop@challenger")
    assert card.locator(".said").last.inner_text() == answer
    assert card.locator("b").count() == 0
    facts = card.locator(".facts").last.inner_text()
    for part in ("First token", "tokens/s", "8 tokens", "12 tokens", "ended by itself", "pred_7"):
        assert part in facts
    card.get_by_text("2 tokens below 20 %").last.click()
    assert "2.0 %" in card.locator(".tokens").last.inner_text()
    form = card.get_by_role("form").last
    form.get_by_label("A better answer").fill("It left today.")
    form.get_by_role("button", name="Bad").click()
    form.get_by_text("it is kept").wait_for()
    said = asked()[-1]
    assert (said["prediction_id"], said["rating"], said["answer"]) == ("pred_7", "bad", "It left today.")
    page.get_by_role("button", name="New conversation").click()
    assert page.get_by_text("Nothing said yet").count() == 2
    assert seen.faults_of_access() == []
    assert seen.nameless() == []


def test_a_real_language_model_answers_its_page(tab, talking):
    seen = tab().open(talking.url)
    message = seen.page.get_by_label("Message")
    message.fill("Tell me a story.")
    message.press("Control+Enter")
    seen.says("#chat-status", "answered")
    body = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 256}
    asked = requests.post(f"{talking.url}/v1/chat/completions", json=body, timeout=30).json()
    card = seen.card(asked["model"])
    assert card.locator(".said").last.inner_text() == asked["choices"][0]["message"]["content"]
    assert f"{asked['usage']['completion_tokens']} tokens" in card.locator(".facts").last.inner_text()
    card.get_by_role("button", name="Good").click()
    card.get_by_text("it is kept").wait_for()


def test_an_answer_can_be_stopped_and_a_broken_one_is_told(tab, pretending):
    url, asked = pretending
    seen = tab().open(url)
    message = seen.page.get_by_label("Message")
    for stop in (
        lambda: seen.page.keyboard.press("Escape"),
        seen.page.get_by_role("button", name="Stop").click,
    ):
        message.fill("slowly")
        message.press("Control+Enter")
        seen.page.locator(".turns > li:last-child .said", has_text="The red").last.wait_for()
        stop()
        assert "shop was stopped after: The red" in seen.says("#chat-status", "stopped after")
        assert "stopped" in seen.card("shop").first.locator(".facts").last.inner_text()
        assert seen.run("document.activeElement.id") == "message"
    for how, words in (("fail", "out of memory"), ("cut", "ended before"), ("refuse", "too many wait")):
        message.fill(how)
        message.press("Control+Enter")
        seen.says("#chat-status", words)
        assert words in seen.page.locator(".turns .fault").last.inner_text()
    message.fill("And now?")
    message.press("Control+Enter")
    seen.says("#chat-status", "Bye")
    roles = [each["role"] for each in asked()[-1]["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]  # no turn without an answer is sent
    seen.complaints.clear()  # the refused requests


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(tab, paired, scheme):
    seen = tab(color_scheme=scheme, reduced_motion="reduce").open(paired.server.url)
    seen.ask(TEXT)
    seen.card("mail").get_by_text("tokens").click()
    seen.says("#fig-memory", "MiB")
    assert seen.faults_of_access() == []
    assert seen.nameless() == []


@pytest.mark.parametrize(("width", "scale"), [(360, 1), (640, 2)])
def test_it_fits_a_small_screen_and_a_zoomed_one(tab, paired, pretending, width, scale):
    seen = tab(viewport={"width": width, "height": 700}, device_scale_factor=scale).open(paired.server.url)
    seen.ask(f"{TEXT} {'unbroken' * 40}")
    seen.card("opposite").get_by_text("tokens").click()
    seen.card("opposite").locator(".tokens li").first.wait_for()
    seen.says("#fig-memory", "MiB")
    assert not seen.is_too_wide
    seen.open(pretending[0])
    seen.page.get_by_text("Settings").click()
    seen.page.get_by_label("Message").fill("unbroken" * 40)
    seen.page.get_by_label("Message").press("Control+Enter")
    seen.says("#chat-status", "challenger answered")
    assert not seen.is_too_wide


def test_its_reader_of_figures_agrees_with_prometheus(tab, paired):
    """The module reads what the server says, and what it might, as Prometheus' own parser does."""
    seen = tab().open(paired.server.url)
    odd = 'odd{a="x,\\"}\\\\",b="two\\nlines"} 1.5e-3\nplain +Inf\nwith_time 3 1395066363000\n# HELP odd {\n'
    text = paired.server.get("/metrics").text + odd
    found = seen.run("async (text) => (await import('/page/exposition.js')).parse(text)", text)
    expected = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert [(each["name"], each["labels"], each["value"]) for each in found] == expected


def test_its_quantiles_are_prometheus_own(tab, paired):
    seen = tab().open(paired.server.url)
    quantile = """async ([share, before, after]) =>
        (await import('/page/figures.js')).quantile(share, new Map(before), new Map(after))"""
    before = [["0.1", 5], ["0.5", 5], ["1.0", 6], ["+Inf", 6]]
    after = [
        ["+Inf", 20],
        ["0.1", 5],
        ["0.5", 13],
        ["1.0", 16],
    ]  # 8 up to 0.5, 1 up to 1, 4 beyond... in any order
    assert seen.run(quantile, [0.5, before, after]) == pytest.approx(0.1 + 0.4 * 7 / 8)
    assert seen.run(quantile, [0.95, before, after]) == 1.0  # beyond the last bound nothing is known
    assert seen.run(quantile, [0.5, before, before]) is None


def test_its_reader_of_streams_bears_any_cut(tab, paired):
    seen = tab().open(paired.server.url)
    script = """async (pieces) => {
        const { events } = await import('/page/stream.js');
        async function* bytes() { for (const piece of pieces) yield Uint8Array.from(piece); }
        const found = [];
        for await (const each of events(bytes())) found.push(each);
        return found;
    }"""
    tail = "event: x\ndata:one\ndata: two\n\ndata: [DONE]\n\ndata: half"
    whole = f': hello\r\n\r\ndata: {{"a": "😀 é"}}\r\n\r\n{tail}'.encode()
    chance = random.Random(3)
    for _ in range(20):
        cuts = sorted(chance.sample(range(len(whole)), 12))
        pieces = [list(whole[start:end]) for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        assert seen.run(script, pieces) == ['{"a": "😀 é"}', "one\ntwo", "[DONE]"]


def test_it_works_below_the_path_of_a_proxy(tab, paired):
    seen = tab()

    def pass_on(route) -> None:
        assert "/below/" in route.request.url
        route.continue_(url=route.request.url.replace("/below/", "/"))

    seen.page.route("**/*", pass_on)
    seen.open(f"{paired.server.url}/below/")
    seen.ask(TEXT)
    assert seen.page.locator(".shares").count() == 2


def test_its_modules_are_fetched_at_once():
    from tunewright.serving.page_files import page_files

    lines = page_files()["index.html"].body.decode().splitlines()
    fetched = {line.split('"')[3] for line in lines if "modulepreload" in line}
    assert fetched == {f"page/{name}" for name in page_files() if name.endswith(".js")} - {"page/page.js"}
