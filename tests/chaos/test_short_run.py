"""A small run of `make chaos` with a fixed seed: processes are killed, and uploads are cut, while files are handed in."""

from __future__ import annotations

import asyncio
from pathlib import Path

from chaos.rows import edits, kills, uploads
from chaos.stack import Setup


def small(folder: Path, scale: float) -> Setup:
    folder.mkdir()
    return Setup(seed=7, full=False, database="sqlite", scale=scale, row="test", folder=folder)


async def test_nothing_is_lost_stuck_or_done_twice_while_processes_are_killed_and_uploads_are_cut(
    tmp_path: Path,
) -> None:
    killed, cut = await asyncio.gather(  # two products side by side: both mostly wait
        kills.run(small(tmp_path / "kills", 0.02)), uploads.run(small(tmp_path / "uploads", 0.03))
    )
    assert not killed.problems, killed
    assert not cut.problems, cut


async def test_edits_behind_the_services_back_are_found_and_called_by_their_name(tmp_path: Path) -> None:
    outcome = await edits.run(small(tmp_path / "edits", 0.015))
    assert not outcome.problems, outcome
