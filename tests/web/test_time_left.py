"""The time left: an honest range from ten runs on, nothing below."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.lifecycle import Completed
from app.domain.models import JobResult
from app.web.time_left import TimeLeft, time_left
from app.web.words import kinds, size, span
from tests.web.test_ticket import hand_in


def minutes(*figures: float) -> list[timedelta]:
    return [timedelta(minutes=figure) for figure in figures]


def test_below_ten_runs_nothing_is_told():
    assert time_left(minutes(*range(1, 10)), timedelta(0)) is None
    assert time_left(minutes(*range(1, 11)), timedelta(0)) is not None


def test_runs_that_were_over_by_now_tell_nothing():
    assert time_left(minutes(*range(1, 20)), timedelta(minutes=10)) is None
    left = time_left(minutes(*range(1, 41)), timedelta(minutes=20))
    assert (left.runs, left.low, left.high) == (20, timedelta(minutes=3), timedelta(minutes=18))


def test_the_range_leaves_out_the_odd_ones():
    left = time_left(minutes(0.1, *[3.0] * 18, 400), timedelta(0))
    assert str(left) == "about 3 min, from 20 runs like this"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (120, 240, "2 to 4 min"),
        (5, 20, "5 to 20 s"),
        (0.2, 3, "up to 3 s"),
        (30, 200, "up to 4 min"),
        (7200, 9000, "2 to 3 h"),
    ],
)
def test_the_range_is_told_in_fitting_units(low, high, said):
    left = TimeLeft(low=timedelta(seconds=low), high=timedelta(seconds=high), runs=31)
    assert str(left) == f"{said}, from 31 runs like this"


async def test_the_ticket_tells_the_time_left_from_ten_runs_on(browser, world):
    for number in range(11):
        done = await hand_in(browser, f"{number}.txt")
        await world.deliver(done)
        world.clock.ahead += timedelta(seconds=110)
        await world.advance(done, Completed(result=JobResult()))
        page = (await browser.get(world.link(await hand_in(browser, "next.txt")))).text
        assert ("Time left</b> 1 to 2 min, from 10 runs like this" in page) == (number == 9)
        assert ("Time left" in page) == (number >= 9)


def test_figures_are_told_as_people_say_them():
    assert [size(n) for n in (0, 999, 1000, 9_949, 102_400, 999_600, 4_200_000, 2 * 10**9)] == [
        "0 B", "999 B", "1.0 kB", "9.9 kB", "102 kB", "1.0 MB", "4.2 MB", "2.0 GB",
    ]  # fmt: skip
    seconds = (0, 4.9, 125, 3600, 3780, 187_200)
    assert [span(timedelta(seconds=n)) for n in seconds] == ["0 s", "4 s", "2 min 5 s", "1 h", "1 h 3 min", "2 d 4 h"]
    assert kinds(("application/pdf", "image/*", "x/y")) == "PDF, images, x/y"
