"""People who watch: a thousand event streams in one process, and a callback until it is seen in open pages."""

from __future__ import annotations

import asyncio
import resource
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import httpx
from playwright.sync_api import Page, sync_playwright

from app.domain.models import JobId
from app.domain.signing import Capabilities, Scope, secret_bytes
from bench.callslip import KEY, SECRET, Callslip
from bench.process import Running
from bench.report import Report, at_most, holds
from bench.stage import Stage
from bench.watchers import watch

STREAMS, EVENTS, WARM = 1000, 40, 50
PAGES, TABS, REPORTS = 100, 4, 30
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
# Marks the moment at which a text stands in the page, in the browser's own clock, which is this machine's.
OBSERVE = """() => {
  window.seen = {};
  const look = () => {
    const words = document.querySelector(".telling")?.textContent;
    if (words && !(words in window.seen)) window.seen[words] = Date.now() / 1000;
  };
  new MutationObserver(look).observe(document.getElementById("live"), { childList: true, subtree: true, characterData: true });
}"""


class Job:
    """A job that reports by callback, as its workflow does. No worker is needed for it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        answer = client.post("/api/v1/jobs", files={"file": ("receipt.txt", b"12 coffees, 34.00")})
        created = answer.raise_for_status().json()
        self.job_id = JobId(UUID(created["job_id"]))
        grant = Capabilities((secret_bytes(SECRET),)).grant
        self._token = grant(Scope.CALLBACK, self.job_id)
        link = grant(Scope.PAGE, self.job_id, datetime.now(UTC) + timedelta(hours=1))
        self.events = f"/api/v1/jobs/{self.job_id}/events?token={link}"
        self.page = f"/jobs/{self.job_id}?token={link}"
        self.fragment = f"/jobs/{self.job_id}/fragment?token={link}"

    def report(self, message: str, share: float, status: str = "processing") -> int:
        """Sends one callback; the job's version behind it."""
        body = {"status": status, "message": message, "progress": share}
        if status != "processing":
            body = {"status": status, "result_message": message}
        answer = self._client.post(
            f"/api/v1/jobs/{self.job_id}/callback", json=body, headers={"Authorization": f"Bearer {self._token}"}
        )
        told = answer.raise_for_status().json()
        if not told["applied"]:
            raise RuntimeError(str(told["reason"]))
        return int(told["job"]["version"])


def streams(stage: Stage) -> Report:
    """A thousand open event streams of one job."""
    _room_for(STREAMS * 2)
    ours = Callslip(stage)
    api = ours.start_api()
    with _client(ours.port) as client:
        size, cpu, delays, lost, repeats = asyncio.run(_streams(ours.port, api, client))
    ordered = sorted(delays)
    report = Report(
        title=f"{STREAMS:,} open event streams in one process",
        notes=[
            (f"{STREAMS:,} clients watch one job over TCP; {EVENTS} callbacks come one after another. A delay is from "
            "sending the callback until its event arrived at one client, the callback's commit included. Memory is what "
            f"the process grew by, divided by the streams; {WARM} streams were opened and closed before. CPU is the "
            "process's own from the first callback on, divided by the callbacks: taking one included.")
        ],
        columns=["streams", "memory, KiB each", "CPU, ms an event", "median, ms", "p99, ms", "slowest, ms", "lost", "repeated"],
        lines=[
            [
                f"{STREAMS:,}", f"{size:.1f}", f"{cpu * 1000:.1f}", f"{_share(ordered, 0.5) * 1000:.1f}", f"{_share(ordered, 0.99) * 1000:.1f}",
                f"{ordered[-1] * 1000:.1f}", str(lost), str(repeats),
            ]
        ],
    )  # fmt: skip
    report.goals = [
        at_most("memory of one stream", size, 35, "KiB"),
        at_most("one event to all, p99", _share(ordered, 0.99) * 1000, 60, "ms"),
        holds("no event lost or repeated", f"{lost} lost, {repeats} repeated", reached=lost == repeats == 0),
    ]
    return report


async def _streams(port: int, api: Running, client: httpx.Client) -> tuple[float, float, list[float], int, int]:
    job = await asyncio.to_thread(Job, client)
    for watcher in (warm := await watch(port, job.events, WARM)):
        watcher.leave()
    await asyncio.sleep(1)
    before = api.memory()[0]
    watchers = await watch(port, job.events, STREAMS)
    await asyncio.sleep(1)
    size = (api.memory()[0] - before) * 1024 / STREAMS
    sent: dict[int, float] = {}
    cpu = api.cpu()
    for number in range(EVENTS):
        at = time.perf_counter()
        sent[await asyncio.to_thread(job.report, f"Step {number}", number / EVENTS)] = at
        await asyncio.sleep(0.25)
    await asyncio.sleep(1.5)
    cpu = (api.cpu() - cpu) / EVENTS
    delays = [
        watcher.heard[version] - at for watcher in watchers for version, at in sent.items() if version in watcher.heard
    ]
    lost = STREAMS * len(sent) - len(delays)
    repeats = sum(watcher.repeats for watcher in [*warm, *watchers])
    for watcher in watchers:
        watcher.leave()
    return size, cpu, delays, lost, repeats


def visible(stage: Stage) -> Report:
    """From a callback's answer to its words in open pages."""
    ours = Callslip(stage)
    ours.start_api()
    with _client(ours.port) as client, _readers(ours.port, job := Job(client)), _tabs(ours.port, job) as tabs:
        weight = _first_paint(ours.port, job)
        accepted: dict[str, float] = {}
        for number in range(REPORTS):
            words = f"Step {number} of the work"
            job.report(words, number / REPORTS)
            accepted[words] = time.time()
            tabs[0].wait_for_timeout(400)
        job.report("All is done", 1.0, "success")
        accepted["All is done"] = time.time()
        tabs[0].wait_for_timeout(2000)
        seen = [tab.evaluate("window.seen") for tab in tabs]
    delays = sorted(max(each[words] - at, 0.0) for each in seen for words, at in accepted.items() if words in each)
    missed = len(seen) * len(accepted) - len(delays)
    report = Report(
        title=f"From a callback to {PAGES} open pages",
        notes=[
            (f"{PAGES - TABS} readers hold the events of one job open and ask for its page after each, as the page's script "
            f"does, beside {TABS} tabs of a real Chromium, in which the time is taken: from the callback's answer until its "
            "words stand in the page.")
        ],
        columns=["pages", "median, ms", "p95, ms", "slowest, ms", "never seen", "first paint, KiB"],
        lines=[
            [
                str(PAGES), f"{_share(delays, 0.5) * 1000:.0f}", f"{_share(delays, 0.95) * 1000:.0f}",
                f"{delays[-1] * 1000:.0f}", str(missed), f"{weight:.1f}",
            ]
        ],
    )  # fmt: skip
    report.goals = [
        at_most("callback to visible, p95", _share(delays, 0.95) * 1000, 150, "ms"),
        at_most("first paint over the wire", weight, 60, "KiB"),
        holds("every report was seen", f"{missed} missed", reached=missed == 0),
    ]
    return report


@contextmanager
def _client(port: int) -> Iterator[httpx.Client]:
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as client:
        yield client


@contextmanager
def _tabs(port: int, job: Job) -> Iterator[list[Page]]:
    """Open pages in a real browser, each of which notes what it shows when."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(base_url=f"http://127.0.0.1:{port}")
        tabs = [context.new_page() for _ in range(TABS)]
        for tab in tabs:
            tab.goto(job.page)
            tab.evaluate(OBSERVE)
        tabs[0].wait_for_timeout(1500)
        yield tabs
        browser.close()


@contextmanager
def _readers(port: int, job: Job) -> Iterator[None]:
    """The other open pages: each holds the events and asks for the page behind each of them."""
    opened, leave = threading.Event(), threading.Event()

    def read() -> None:
        asyncio.run(_read(port, job, opened, leave))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        if not opened.wait(60):
            raise RuntimeError("the readers' streams did not open")
        yield
    finally:
        leave.set()
        thread.join()


async def _read(port: int, job: Job, opened: threading.Event, leave: threading.Event) -> None:
    watchers, chance = await watch(port, job.events, PAGES - TABS), Random(7)
    opened.set()
    known, asking = {id(watcher): len(watcher.heard) for watcher in watchers}, set[asyncio.Task[Any]]()
    # A client library would cost these readers more than the pages cost the service, and they would fall behind.
    request = f"GET {job.fragment} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()

    async def ask() -> None:
        await asyncio.sleep(0.05 + chance.random() * 0.3)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read(-1)
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"a page was not given: {answer[:60]!r}")

    while not leave.is_set():
        for watcher in watchers:
            if len(watcher.heard) > known[id(watcher)]:
                known[id(watcher)] = len(watcher.heard)
                asking.add(task := asyncio.create_task(ask()))
                task.add_done_callback(asking.discard)
        await asyncio.sleep(0.01)
    await asyncio.gather(*asking)
    for watcher in watchers:
        watcher.leave()


def _first_paint(port: int, job: Job) -> float:
    """All that a first visit loads, heads of the answers included, in KiB."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Accept": "text/html"}) as client:
        page = client.get(job.page).raise_for_status()
        parts = {part.split('"')[0] for mark in ('src="', 'href="') for part in page.text.split(mark)[1:]}
        answers = [page, *(client.get(part) for part in parts if part.startswith("/static/"))]
    heads = sum(len(name) + len(value) + 4 for each in answers for name, value in each.headers.raw)
    return (heads + sum(each.num_bytes_downloaded for each in answers)) / 1024


def _share(ordered: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _room_for(files: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(files, 1024), most), most))
