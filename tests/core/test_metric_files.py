"""Figures that several processes count, on a disk without room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot take room beforehand")

MANY = """
for number in range(400):
    ATTEMPTS.labels(workflow=f"w{number}", outcome="x" * 200).inc()
"""
NO_MORE = """
import resource
def most(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""
SHOW = """
from prometheus_client import CollectorRegistry
from app.api.v1.metrics import process_figures
text = process_figures(CollectorRegistry()).decode()
print(text.count('callslip_attempts_total{outcome="xx'))
"""
COUNT = "from app.core.metrics import ATTEMPTS, COMMIT\nCOMMIT.observe(0.1)\n"


def run(folder: Path, code: str) -> str:
    """What the program says; it must end well."""
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout.strip()


def test_the_room_for_figures_is_taken_before_they_are_written(tmp_path: Path) -> None:
    run(tmp_path, COUNT + MANY)
    files = list(tmp_path.glob("*.db"))
    assert {"counter", "histogram", "gauge"} <= {file.name.split("_")[0] for file in files}
    assert all(file.stat().st_blocks * 512 >= file.stat().st_size > 0 for file in files)
    assert run(tmp_path, SHOW) == "400"


def test_figures_go_on_in_memory_where_the_disk_has_no_room(tmp_path: Path) -> None:
    run(tmp_path, NO_MORE + "most(0)\n" + COUNT + MANY)
    assert run(tmp_path, SHOW) == "0"


def test_figures_for_which_there_is_no_more_room_do_not_spoil_those_before(tmp_path: Path) -> None:
    assert 0 < int(run(tmp_path, NO_MORE + "most(1 << 16)\n" + COUNT + MANY + SHOW)) < 400


def test_figures_are_seen_by_others_once_there_is_room_again(tmp_path: Path) -> None:
    again = "most(resource.RLIM_INFINITY)\nATTEMPTS.labels(workflow='w', outcome='x' * 200).inc()\n"
    assert run(tmp_path, NO_MORE + "most(0)\n" + COUNT + MANY + again + SHOW) == "401"
