"""Take the pictures of docs/page.md from a running server, in a real browser.

    python tools/take_page.py http://127.0.0.1:8000 --browser /usr/bin/chromium

The server, in a project that `make demo` made:

    tunewright serve NAME@champion --beside NAME@challenger --beside NAME/1
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 760}
TEXT = "It came today in the wrong colour, can I swap it?"
COLOURS = 160
BUSY = 40
"""Requests before the picture, so that the figures have something to show."""
PATIENCE_MS = 60_000


def main() -> None:
    """Take both pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address")
    parser.add_argument("--browser", help="path of a Chromium; Playwright's own by default")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--to", type=Path, default=IMAGES)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            take(browser, options.address, options.text, scheme, options.to / f"page-{scheme}.png")
        browser.close()


def take(browser: Browser, address: str, text: str, scheme: str, path: Path) -> None:
    """Ask a text, open the tokens, and wait until the figures have moved."""
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.locator(".card").first.wait_for()
    page.wait_for_timeout(2500)
    for number in range(BUSY):
        keep_busy(address, f"{text} {number}")
        page.wait_for_timeout(100 + 150 * (number % 5))
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Ask").click()
    page.locator(".shares").last.wait_for()
    page.get_by_text("tokens", exact=False).locator("visible=true").first.wait_for()
    page.locator("details.tokens-of summary").first.click()
    page.wait_for_timeout(2500)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=path, full_page=True)
    page.close()
    with Image.open(path) as picture:  # few colours: a third of the size
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def keep_busy(address: str, text: str) -> None:
    """Ask the first model something."""
    request = urllib.request.Request(  # noqa: S310 -- the address is given by who runs this
        f"{address}/v1/classify",
        data=json.dumps({"input": text}).encode(),
        headers={"content-type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).read()  # noqa: S310


if __name__ == "__main__":
    main()
