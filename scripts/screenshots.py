"""Pictures of every page, wide and narrow, light and dark, into docs/screens: `python -m scripts.screenshots`.

Starts the whole product in a folder of its own and needs a chromium on the PATH.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.stack import ROOT, Stack, until

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIZES = ((1280, 800), (390, 780))
TALLEST = 1400
PACE = "4"  # seconds between two reports: time enough for four pictures of a job at work
NAMES = [
    "minutes",
    "letter-to-the-tenants",
    "contract-7",
    "scan-0041",
    "budget",
    "statement",
    "offer",
    "report-october",
    "minutes-2",
    "draft",
]
# One workflow that turns deliveries down and one that is not there, so that operations have something to show.
WORKFLOWS = """
[workflow.invoices]
title = "Read an invoice"
url = "http://127.0.0.1:{port}/webhook/invoices"
auth = "none"
secret = "${{PICTURES_SECRET}}"
media_types = ["application/pdf", "image/*", "text/plain"]
max_size = "20 MB"

[workflow.invoices.parameters.cost_centre]
title = "Cost centre"
description = "Four digits"
required = true
max_length = 4

[workflow.invoices.parameters.urgent]
type = "boolean"
title = "Urgent"
default = false
"""


def main() -> None:
    """Takes all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no chromium here; on Debian: apt-get install chromium")
    screens = ROOT / "docs" / "screens"
    screens.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        stack = Stack(
            Path(folder),
            {"DEMO_PACE": PACE, "RETRY_SCHEDULE": "10m,10m,10m", "PICTURES_SECRET": secrets.token_urlsafe(32)},
        )
        (stack.folder / "workflows.toml").write_text(WORKFLOWS.format(port=stack.port))
        stack.start()
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            photographed(browser, stack, screens)
            browser.close()
        finally:
            stack.stop()


def photographed(browser: Browser, stack: Stack, screens: Path) -> None:
    """Fills the product with a few jobs and goes through its pages."""
    done = [hand_in(stack, f"{name}.txt") for name in (*NAMES, "receipt")]
    failed = hand_in(stack, "scan-0042-please-fail.txt")
    hand_in(stack, "invoice-2026-117.txt", workflow="invoices", cost_centre="4711")
    cancelled = hand_in(stack, "draft-2.txt")
    stack.client.post(f"/api/v1/jobs/{cancelled['job_id']}/cancel").raise_for_status()
    for job in (*done, failed):
        stack.ended(job["job_id"], patience=90)
    live = hand_in(stack, "annual-report.txt")
    until(lambda: stack.job(live["job_id"])["progress"]["step"] == 2)
    shots: list[tuple[str, str, Callable[[Page], object]]] = [
        ("slip-at-work", live["links"]["page"], nothing),
        ("log-in", "/login", nothing),
        ("slip-done", done[-1]["links"]["page"], nothing),
        ("slip-failed", failed["links"]["page"], nothing),
        ("hand-in", "/?workflow=invoices", nothing),
        ("operations", "/ops", nothing),
        ("job", f"/ops/jobs/{failed['job_id']}", nothing),
        ("audit", f"/audit/{done[-1]['job_id']}", lambda page: page.locator("details").nth(2).click()),
    ]
    for name, path, before in shots:
        for width, height in SIZES:
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    base_url=f"http://127.0.0.1:{stack.port}",
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    locale="en-GB",
                )
                page = context.new_page()
                if not (name.startswith("slip") or name == "log-in"):
                    log_in(page, stack.key)
                page.goto(path)
                before(page)
                take(page, screens / f"{name}-{width}-{scheme}.png", width, height)
                context.close()


def nothing(_: Page) -> None:
    """The page is shown as it comes."""


def hand_in(stack: Stack, name: str, **fields: str) -> dict[str, Any]:
    """A job of a small text file."""
    content = f"This is {name}.\nIt has a few lines,\nand a few words.\n".encode()
    return stack.upload(name, content, **fields)


def log_in(page: Page, key: str) -> None:
    """As an operator does."""
    page.goto("/login")
    page.fill("#key", key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def take(page: Page, path: Path, width: int, height: int) -> None:
    """The page from its top on, as long as it is, within reason."""
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(height, min(whole, TALLEST))})
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=path, animations="disabled")


if __name__ == "__main__":
    try:
        main()
    except httpx.HTTPError as error:
        sys.exit(f"the product did not answer: {error}")
