"""`make profile`: where the time of one upload and one delivery goes.

Runs the web server, then the worker, under cProfile with load, and adds the time of every function to the part that it
belongs to. The profiler sees the thread of the event loop, which is what bounds both; it makes calls dearer than they are, so the
parts are scaled to the processor time that the same work takes without it.
"""

from __future__ import annotations

import pstats
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from bench.callslip import Callslip
from bench.process import Running
from bench.stage import Stage

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
}
WAITING = ("run_until_complete", "run_forever", "poll", "select")


def main() -> int:
    """Prints two tables."""
    with Stage("profile", 1, 300, lambda text: print(text, file=sys.stderr)) as stage:
        service = Callslip(stage, IN_FLIGHT="100", CALLBACK_TIMEOUT="1h")
        stage.far("begin?delay=0")
        plain = service.start_api()
        spent = stage.measure(service.uploads(connections=16, count=COUNT), plain).cpu
        _end(plain)
        figures = _profiled(service, "api")
        api = service.start_api()
        stage.load(service.uploads(connections=16, count=COUNT))
        _end(api)
        _print("one upload of 100 KB, web server", figures, spent)
        service.unprofiled()
        worker = service.start_worker()
        before = worker.cpu()
        service.until_counts("waiting", COUNT * 2)
        spent = (worker.cpu() - before) / (COUNT * 2) * 1e6
        _end(worker)
        again = service.start_api()
        stage.load(service.uploads(connections=16, count=COUNT))
        _end(again)
        figures = _profiled(service, "worker")
        worker = service.start_worker()
        service.until_counts("waiting", COUNT * 3)
        _end(worker)
        _print("one delivery of 100 KB, worker", figures, spent)
    return 0


def _profiled(service: Callslip, name: str) -> Path:
    figures = service.stage.folder / f"{name}.prof"
    service.profile_into(figures)
    return figures


def _end(running: Running) -> None:
    running.stop(20, signal.SIGINT)
    time.sleep(0.2)


def _print(what: str, figures: Path, spent: float) -> None:
    parts: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(str(figures)).stats.items():  # type: ignore[attr-defined]
        if not any(word in function for word in WAITING):
            parts[_part(file)] += own
    whole = sum(parts.values())
    print(f"\n{what}: {spent:,.0f} us of processor time, all threads and the kernel")
    for part, own in parts.most_common(22):
        print(f"  {own / whole * spent:7,.0f} us  {own / whole:5.1%}  {part}")


def _part(file: str) -> str:
    for piece, part in PARTS.items():
        if piece in file:
            return part
    return "C functions: sockets, hashes, SQLite, containers" if file == "~" else "the rest"


if __name__ == "__main__":
    sys.exit(main())
