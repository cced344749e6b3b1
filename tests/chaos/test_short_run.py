"""A small run of `make chaos` with a fixed seed: processes are killed while twenty files are handed in."""

from __future__ import annotations

from pathlib import Path

from chaos.rows import kills, uploads
from chaos.stack import Setup


def small(tmp_path: Path, scale: float) -> Setup:
    return Setup(seed=7, full=False, database="sqlite", scale=scale, row="test", folder=tmp_path)


async def test_nothing_is_lost_stuck_or_done_twice_while_processes_are_killed(tmp_path: Path) -> None:
    outcome = await kills.run(small(tmp_path, 0.02))
    assert not outcome.problems, outcome


async def test_uploads_that_were_cut_and_tried_again_are_one_job_each(tmp_path: Path) -> None:
    outcome = await uploads.run(small(tmp_path, 0.03))
    assert not outcome.problems, outcome
