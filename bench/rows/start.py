"""`make run` when everything is warm: how soon it is ready, and what it holds when idle (row 13)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench.process import ROOT, free_port
from bench.report import Report, at_most, middle
from bench.stage import Sample, Stage, everyday

PARTS = {"uvicorn": "API", "rq_worker.py": "worker", "valkey-server": "Valkey"}


FIRST, WARM = "first start, empty folder", "warm start"
Parts = dict[str, list[tuple[float, float]]]


def start(stage: Stage) -> Report:
    """Row 13."""
    parts: dict[str, Parts] = {FIRST: {}, WARM: {}}
    folder = stage.folder / "warm"
    folder.mkdir()
    _one(stage, folder, {})
    samples = stage.take_turns(
        {
            WARM: lambda: _one(stage, folder, parts[WARM]),
            FIRST: lambda: _one(stage, _fresh(stage), parts[FIRST]),
        }
    )
    ready = {name: middle(found, lambda one: one.rate) for name, found in samples.items()}
    lines = []
    for kind, found in parts.items():
        for name, figures in found.items():
            resident, once = (max(values) for values in zip(*figures, strict=True))
            lines.append([kind, name, f"{resident:.0f}", f"{once:.0f}"])
    resident = sum(max(one for one, _ in figures) for figures in parts[WARM].values())
    return Report(
        title="Starting and resting (row 13)",
        notes=[
            (
                "`python -m app.launch`, which is what `make run` executes, on both cores, to its `Callslip is ready`; memory "
                "three seconds later, resident and with shared pages counted once (PSS), the largest of all rounds. A warm start finds "
                f"its data folder; the first start in an empty folder makes the database, too, and is ready after {ready[FIRST]:.2f} s."
            )
        ],
        columns=["start", "part", "resident MiB", "PSS MiB"],
        lines=lines,
        goals=[
            at_most("ready after, warm", ready[WARM], 2, "s"),
            at_most("API + worker + Valkey, resident", resident, 220, "MiB"),
        ],
    )


def _fresh(stage: Stage) -> Path:
    folder = stage.folder / f"start-{time.monotonic_ns()}"
    folder.mkdir()
    return folder


def _one(stage: Stage, folder: Path, parts: Parts) -> Sample:
    env = {
        **everyday(),
        "PYTHONPATH": str(ROOT),
        "PORT": str(free_port()),
        "DATA_DIR": str(folder / "data"),
        "CALLSLIP_API_KEYS": "bench:bench-api-key-0123456789abcdef",
        "SECRET_KEY": "bench-secret-0123456789abcdefgh",
    }
    began = time.monotonic()
    launcher = stage.run(f"{folder.name}-{time.monotonic_ns()}", [sys.executable, "-m", "app.launch"], env, core=None)
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
