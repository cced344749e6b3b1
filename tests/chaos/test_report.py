"""What a run says in the end: goal beside figure, and nothing that broke is taken for kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from chaos.__main__ import _renew, load
from chaos.report import Outcome, Result, page, recorded, summary, table
from chaos.rows import NAMES
from chaos.timetable import Turn, run_one

KEPT = Result(
    name="uploads",
    promise="as many jobs as uploads",
    goal="500 are 500",
    outcome=Outcome(figures=["500 are 500 | cut 1,400 times", "and more"]),
    seconds=34,
)
BROKEN = Result(
    name="kills (sqlite)",
    promise="0 lost",
    goal="0 of 1,000 lost",
    outcome=Outcome(figures=["1 lost"], problems=["I1 x: acknowledged, but there is no row"]),
    seconds=300,
    kept="/somewhere",
)
SKIPPED = Result(name="disk", promise="507", goal="507", outcome=Outcome(skipped="needs root"), seconds=0)


def test_a_result_is_the_same_after_it_went_from_one_process_to_another() -> None:
    assert Result.of(json.loads(json.dumps(BROKEN.record()))) == BROKEN


def test_the_table_has_the_goal_beside_the_figure_and_what_was_broken() -> None:
    said = table([KEPT, BROKEN, SKIPPED]).splitlines()
    assert [line.split()[0] for line in said if not line.startswith(" ")] == ["kept", "FAILED", "skipped"]
    assert "          goal:     0 of 1,000 lost" in said
    assert "          measured: 1 lost" in said
    assert "        ! I1 x: acknowledged, but there is no row" in said
    assert summary([KEPT, BROKEN, SKIPPED], 90).startswith("1 kept, 1 FAILED, 1 skipped; 1.5 minutes")


def test_the_page_has_one_line_for_each_row_and_its_bars_are_escaped() -> None:
    lines = page([KEPT, BROKEN], ["some day"]).splitlines()
    assert "| `uploads` | 500 are 500 | 500 are 500 \\| cut 1,400 times | kept | 34 s |" in lines
    assert "- not kept: I1 x: acknowledged, but there is no row" in lines


def test_a_page_is_renewed_row_by_row_and_says_the_same_of_the_others(tmp_path: Path) -> None:
    written, odd = (
        tmp_path / "page.md",
        replace(KEPT, outcome=Outcome(figures=["a --> in it"], problems=[]), circumstances="some day"),
    )
    for result in (BROKEN, KEPT, odd):
        _renew(written, result, ["head"])
    assert recorded(written.read_text()) == [BROKEN, odd]


async def test_a_row_whose_process_ends_without_a_result_is_a_broken_promise(tmp_path: Path) -> None:
    result = await run_one(Turn(load("uploads"), "sqlite", ("--scale", "not a number")), tmp_path)
    assert result.verdict == "FAILED"
    assert "ended with status 2" in result.outcome.problems[0]


def test_every_row_says_what_is_to_be_reached() -> None:
    assert all(load(name).wanted(full=full) for name in NAMES for full in (False, True))
