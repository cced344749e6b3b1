"""`make profile`: where the time of one upload and one delivery goes; written into docs/performance.md.

Runs the web server, then the worker, under cProfile with load, and adds the time of every function to the part that it
belongs to; what an idle start takes is subtracted. The profiler sees the thread of the event loop, which is what bounds both; it makes calls dearer than they are, so the
parts are scaled to the processor time that the same work takes without it: their order is sure, their size is near.
"""

from __future__ import annotations

import pstats
import re
import signal
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.callslip import Callslip
from bench.process import ROOT, Running
from bench.report import machine
from bench.stage import Stage, place

COUNT = 1500
PARTS = {
    "app/api/multipart": "our form parser",
    "app/api/middleware": "our middleware",
    "app/api": "our routes, authentication, views",
    "app/services": "use cases",
    "app/domain": "lifecycle, audit chain, signatures",
    "app/infrastructure/sql": "rows and statements",
    "app/infrastructure/job_log": "rows and statements",
    "app/infrastructure/file_store": "file store",
    "app/infrastructure": "other adapters",
    "app/core": "log lines",
    "logging/": "log lines",
    "prometheus_client": "figures for /metrics",
    "fastapi": "FastAPI",
    "starlette": "Starlette",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "pydantic": "pydantic",
    "httpx": "httpx",
    "aiohttp": "aiohttp",
    "asyncio": "asyncio",
    "concurrent": "changes of thread",
    "threading": "changes of thread",
    "contextlib": "context managers",
    "json": "JSON",
    "dataclasses": "dataclasses",
    "uuid": "UUIDs",
    "redis": "redis-py and RQ",
    "rq/": "redis-py and RQ",
    "<string>": "dataclasses",
    "opentelemetry": "FastAPI",
    "magic": "libmagic",
}
# Functions in C, by a piece of their name.
C_PARTS = {
    "sqlite": "SQLite",
    "hashlib": "SHA-256 and HMAC",
    "posix.": "system calls: files, processes",
    "pydantic_core": "pydantic",
    "_json": "JSON",
    "lock": "waiting for locks of other threads",
    "Queue": "changes of thread",
    "call_soon_threadsafe": "changes of thread",
    "socket": "sockets",
    "write": "sockets",
    "uvloop": "event loop",
}
PAGE = ROOT / "docs" / "performance.md"
WAITING = ("run_until_complete", "run_forever", "poll", "select")


def main() -> int:
    """Prints two tables, and puts them into the page."""
    with place() as folder, Stage("profile", 1, 300, folder, lambda text: print(text, file=sys.stderr)) as stage:
        service = Callslip(stage, IN_FLIGHT="100", CALLBACK_TIMEOUT="1h")
        stage.far("begin?delay=0")
        plain = service.start_api()
        spent = stage.measure(service.uploads(connections=16, count=COUNT), plain).cpu
        _end(plain)
        idle = _profiled(service, "api-idle")
        _end(service.start_api())
        figures = _profiled(service, "api")
        api = service.start_api()
        stage.load(service.uploads(connections=16, count=COUNT))
        _end(api)
        _write("upload", "One upload of 100 KB, in the web server", _own(figures) - _own(idle), spent)
        service.unprofiled()
        worker = service.start_worker()
        before = worker.cpu()
        service.until_counts("waiting", COUNT * 2)
        spent = (worker.cpu() - before) / (COUNT * 2) * 1e6
        _end(worker)
        idle = _profiled(service, "worker-idle")
        _end(service.start_worker())
        service.unprofiled()
        again = service.start_api()
        stage.load(service.uploads(connections=16, count=COUNT))
        _end(again)
        figures = _profiled(service, "worker")
        worker = service.start_worker()
        service.until_counts("waiting", COUNT * 3)
        _end(worker)
        _write("delivery", "One delivery of 100 KB, in the worker", _own(figures) - _own(idle), spent)
    return 0


def _profiled(service: Callslip, name: str) -> Path:
    figures = service.stage.folder / f"{name}.prof"
    service.profile_into(figures)
    return figures


def _end(running: Running) -> None:
    running.stop(20, signal.SIGINT)
    time.sleep(0.2)


def _own(figures: Path) -> Counter[str]:
    """Seconds of the profiled thread, by part."""
    parts: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(str(figures)).stats.items():  # type: ignore[attr-defined]
        if not any(word in function for word in WAITING):
            parts[_part(file, function)] += own
    return parts


def _write(name: str, what: str, parts: Counter[str], spent: float) -> None:
    """Puts the table in place of that of an earlier run."""
    whole = sum(parts.values())
    lines = [f"| {part} | {own / whole * spent:,.0f} | {own / whole:.1%} |" for part, own in parts.most_common(22)]
    text = "\n".join(
        [
            f"{what}: {spent:,.0f} us of processor time, all threads and the kernel. {datetime.now(UTC):%d %B %Y}. {machine()}",
            "",
            "| Part | us | Share |",
            "|---|---|---|",
            *lines,
        ]
    )
    print(f"\n{text}")
    earlier = re.compile(f"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    PAGE.write_text(earlier.sub(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text()))


def _part(file: str, function: str) -> str:
    if file == "~":
        return next((part for piece, part in C_PARTS.items() if piece in function), "containers and other C functions")
    return next((part for piece, part in PARTS.items() if piece in file), "the rest")


if __name__ == "__main__":
    sys.exit(main())
