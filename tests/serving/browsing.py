"""A real browser that looks at the server's page, and remembers whatever it complained about."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

PATIENCE_MS = 20_000
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Return the path of the machine's Chromium; empty without one."""
    return os.environ.get("TUNEWRIGHT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")


@contextlib.contextmanager
def opened_browser() -> Iterator[Browser]:
    """Give a browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A browser that root starts has no sandbox; it sees our own server alone.
        found = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Seen:
    """One tab."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors, warnings and violations of the policy that its console held."""

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on(
            "console", lambda said: said.type in {"error", "warning"} and self.complaints.append(said.text)
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._failed)

    def open(self, url: str, *, until: str = ".card") -> Seen:
        self.page.goto(url)
        self.page.locator(until).first.wait_for()
        return self

    def card(self, name: str) -> Locator:
        return self.page.get_by_role("article", name=name)

    def ask(self, text: str) -> None:
        """Ask, and wait for the verdict."""
        self.page.get_by_label("Text", exact=True).fill(text)
        self.page.get_by_role("button", name="Ask").click()
        self.says("#try-status", r" says? |gave no answer")

    def says(self, selector: str, pattern: str) -> str:
        """Wait until a part says something, and return all that it says."""
        import re

        from playwright.sync_api import expect

        found = self.page.locator(selector)
        expect(found).to_contain_text(re.compile(pattern), timeout=PATIENCE_MS)
        return found.inner_text()

    def run(self, script: str, *given: object) -> object:
        """Run a function of the page's own modules."""
        return self.page.evaluate(script, *given)

    @property
    def is_too_wide(self) -> bool:
        return bool(self.run("document.documentElement.scrollWidth > innerWidth"))

    def nameless(self) -> list[str]:
        """Return the controls that a screen reader has no name for, out of the browser's accessibility tree."""
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "textbox", "combobox", "checkbox", "spinbutton", "link", "article", "image"}
        told = [
            (each["role"]["value"], each.get("name", {}).get("value", "")) for each in nodes if "role" in each
        ]
        assert len([role for role, _ in told if role in roles]) > 8
        return [role for role, name in told if role in roles and not name.strip()]

    def faults_of_access(self) -> list[str]:
        """Return what axe finds wrong with the page as it stands."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response
        assert len(found["passes"]) > 10
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]

    def _failed(self, request: object) -> None:
        if "ERR_ABORTED" not in str(request.failure):  # what the page itself gave up
            self.complaints.append(f"{request.url}: {request.failure}")
