"""`make run` when everything is warm: how soon it is ready, and what it holds when idle (row 13)."""

from __future__ import annotations

import sys
import time

from bench.process import ROOT, free_port
from bench.report import Report, at_most, middle
from bench.stage import Sample, Stage, everyday

PARTS = {"uvicorn": "API", "rq_worker.py": "worker", "valkey-server": "Valkey"}


def start(stage: Stage) -> Report:
    """Row 13."""
    parts: dict[str, list[tuple[float, float]]] = {}
    samples = stage.take_turns({"make run": lambda: _one(stage, parts)})["make run"]
    resident = {name: max(one for one, _ in found) for name, found in parts.items()}
    once = {name: max(one for _, one in found) for name, found in parts.items()}
    return Report(
        title="Starting and resting (row 13)",
        notes=[
            (
                "`python -m app.launch`, which is what `make run` executes, in an empty folder with warm caches and both cores, to "
                "its `Callslip is ready`; memory three seconds later, resident and with shared pages counted once (PSS)."
            )
        ],
        columns=["part", "resident MiB", "PSS MiB"],
        lines=[[name, f"{resident[name]:.0f}", f"{once[name]:.0f}"] for name in resident],
        goals=[
            at_most("ready after", middle(samples, lambda one: one.rate), 2, "s"),
            at_most("API + worker + Valkey, resident", sum(resident.values()), 220, "MiB"),
        ],
    )


def _one(stage: Stage, parts: dict[str, list[tuple[float, float]]]) -> Sample:
    folder = stage.folder / f"start-{time.monotonic_ns()}"
    folder.mkdir()
    env = {
        **everyday(),
        "PYTHONPATH": str(ROOT),
        "PORT": str(free_port()),
        "DATA_DIR": str(folder / "data"),
        "CALLSLIP_API_KEYS": "bench:bench-api-key-0123456789abcdef",
        "SECRET_KEY": "bench-secret-0123456789abcdefgh",
    }
    began = time.monotonic()
    launcher = stage.run(folder.name, [sys.executable, "-m", "app.launch"], env, core=None)
    launcher.until_says("Callslip is ready")
    ready = time.monotonic() - began
    time.sleep(3)
    for one in launcher.family():
        words = " ".join(one.cmdline())
        for word, part in PARTS.items():
            if word in words:
                figures = one.memory_full_info()
                parts.setdefault(part, []).append((figures.rss / 2**20, figures.pss / 2**20))
    launcher.stop(20)
    return Sample(rate=ready)
