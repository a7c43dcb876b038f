"""Take the pictures of docs/orchestration.md from a running local stack, in a real browser.

    pip install playwright            # and a Chromium, whose path is given
    python tools/take_screens.py PROJECT --browser /usr/bin/chromium

The project's stack must be up: `tunewright up`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = {"width": 1400, "height": 1200}
GRAPH = {"x": 545, "y": 505, "width": 845, "height": 300}
"""The part of the page that holds the asset graph."""
RUNS = {"width": 1400, "height": 1000}
SETTLE_MS = 6000
PATIENCE_MS = 120_000


def main() -> None:
    """Take both pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--browser", help="path of a Chromium; Playwright's own by default")
    options = parser.parse_args()
    said = subprocess.run(
        [sys.executable, "-m", "tunewright", "status", "--json"],
        cwd=options.project, check=True, capture_output=True, text=True,
    )  # fmt: skip
    parts = json.loads(said.stdout)["parts"]
    secrets = dotenv_values(options.project / ".env")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        asset_graph(browser, parts["page"]["address"])
        run_tree(browser, parts["tracking"]["address"], secrets)
        browser.close()


def asset_graph(browser: Any, address: str) -> None:  # noqa: ANN401
    """Show all assets, both groups opened."""
    page = browser.new_page(viewport=SIZE, device_scale_factor=2)
    page.goto(f"{address}/asset-groups", timeout=PATIENCE_MS)
    page.wait_for_timeout(SETTLE_MS)
    if page.get_by_text("Skip", exact=True).count():
        page.get_by_text("Skip", exact=True).click()
    page.mouse.move(SIZE["width"] * 0.6, SIZE["height"] * 0.9)
    page.keyboard.press("Alt+e")  # opens all groups
    page.wait_for_timeout(2000)
    page.keyboard.press("Alt+Digit0")
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / "dagster-assets.png", clip=GRAPH)


def run_tree(browser: Any, address: str, secrets: dict[str, str | None]) -> None:  # noqa: ANN401
    """Show parent runs with their executions."""
    who = {"username": secrets["MLFLOW_TRACKING_USERNAME"], "password": secrets["MLFLOW_TRACKING_PASSWORD"]}
    page = browser.new_context(viewport=RUNS, http_credentials=who).new_page()
    page.goto(f"{address}/#/experiments/1/runs", timeout=PATIENCE_MS)
    page.wait_for_timeout(SETTLE_MS)
    page.get_by_label("Close").first.click()
    for step in ("train", "split", "infer"):
        row = page.locator(".ag-cell-wrapper", has=page.get_by_text(step, exact=True)).first
        if row.count():
            row.locator("button").first.click()
            page.wait_for_timeout(1000)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / "mlflow-runs.png")


if __name__ == "__main__":
    main()
