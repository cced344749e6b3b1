"""Pictures of every page, wide and narrow, light and dark, into docs/screens: `python -m scripts.screenshots [NAME ...]`.

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

from tests.e2e.stack import ROOT, Stack, free_port, until

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIZES = ((1280, 800), (390, 780))
TALLEST = 1400
WHOLE = {"operations-filtered": 3000}  # whose end is wanted too
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
# What the report is made of, so that its slip shows a result in Markdown.
DOCUMENTS = {
    "quay.txt": "Shore power replaces the diesel engines of a moored ship by a cable. At the north quay the first "
    "connection went live in March 2026. It delivers up to 6 megawatts to one ferry at a time.",
    "costs.txt": "The connection at the north quay cost 4.2 million euros. Shore power costs a ferry 11 cents a "
    "kilowatt hour, diesel costs it 19 cents. Half of the sum was paid by the region.",
    "air.txt": "Shore power lowered nitrogen oxides beside the north quay by 38 percent from April to June. The noise at "
    "night went down by 9 decibels. Ferries that stay for less than an hour do not plug in.",
}
SCHEDULES = (
    ("0 7 * * 1", "Europe/Berlin", "shore power in European ports"),
    ("30 6 1 * *", "America/New_York", "noise of ferries at night"),
)


def main() -> None:
    """Takes all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no chromium here; on Debian: apt-get install chromium")
    screens = ROOT / "docs" / "screens"
    screens.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        stack = Stack(Path(folder), settings(Path(folder) / "documents"))
        (stack.folder / "workflows.toml").write_text(WORKFLOWS.format(port=stack.port))
        stack.start()
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            photographed(browser, stack, screens)
            browser.close()
        finally:
            stack.stop()


def settings(documents: Path) -> dict[str, str]:
    """Those of the product in the pictures; makes the folder of documents."""
    documents.mkdir()
    for name, text in DOCUMENTS.items():
        (documents / name).write_text(text)
    return {
        "DEMO_PACE": PACE,
        "RETRY_SCHEDULE": "10m,10m,10m",
        "PICTURES_SECRET": secrets.token_urlsafe(32),
        "DOCUMENTS_DIR": str(documents),
        "SEARXNG_URL": f"http://127.0.0.1:{free_port()}/",  # where nobody answers, so that operations show that
        "STEP_RETRY": "0.1s",
    }


def photographed(browser: Browser, stack: Stack, screens: Path) -> None:
    """Fills the product with a few jobs and goes through its pages."""
    report = asked_for_reports(stack)
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
        ("slip-report", report["links"]["page"], nothing),
        ("slip-failed", failed["links"]["page"], nothing),
        ("hand-in", "/?workflow=invoices", nothing),
        ("operations", "/ops", nothing),
        ("operations-filtered", "/ops?status=failure", nothing),
        ("job", f"/ops/jobs/{failed['job_id']}", nothing),
        ("schedules", "/ops/schedules?workflow=report", nothing),
        ("reference", "/docs", nothing),
        ("audit", f"/audit/{done[-1]['job_id']}", lambda page: page.locator("details").nth(2).click()),
    ]
    for name, path, before in [shot for shot in shots if not sys.argv[1:] or shot[0] in sys.argv[1:]]:
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
                take(page, screens / f"{name}-{width}-{scheme}.png", width, height, WHOLE.get(name, TALLEST))
                context.close()


def asked_for_reports(stack: Stack) -> dict[str, Any]:
    """A report from the documents that is done, some that find nobody, and schedules; the slip of the first."""

    def asked(topic: str, source: str) -> dict[str, Any]:
        answer = stack.client.post("/api/v1/reports", json={"topic": topic, "sources": [source]})
        return dict(answer.raise_for_status().json())

    report = asked("Shore power at the north quay", "documents")
    stack.ended(report["job_id"], patience=90)
    for topic in ("Ferries without diesel", "Cables for ships", "Who pays for quays", "Noise in harbours"):
        asked(topic, "search")
    for cron, timezone, topic in SCHEDULES:
        body = {"cron": cron, "timezone": timezone, "workflow": "report", "params": {"topic": topic}}
        made = stack.client.post("/api/v1/schedules", json=body).raise_for_status().json()
    stack.client.post(f"/api/v1/schedules/{made['schedule_id']}/pause").raise_for_status()
    return report


def nothing(_: Page) -> None:
    """The page is shown as it comes."""


def hand_in(stack: Stack, name: str, **fields: str) -> dict[str, Any]:
    """A job of a small text file."""
    content = f"This is {name}.\nIt has a few lines,\nand a few words.\n".encode()
    return stack.upload(name, content, **fields)


def log_in(page: Page, key: str) -> None:
    """Shows the key, as the page before does."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    page.context.request.post("/login", form={"key": key}, headers=headers, max_redirects=0)


def take(page: Page, path: Path, width: int, height: int, tallest: int) -> None:
    """The page from its top on, as long as it is, within reason."""
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(height, min(whole, tallest))})
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=path, animations="disabled")


if __name__ == "__main__":
    try:
        main()
    except httpx.HTTPError as error:
        sys.exit(f"the product did not answer: {error}")
