"""The time left in words, on the ticket and for programs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.lifecycle import Completed
from app.domain.models import JobResult
from app.services.estimates import FRESH_FOR, Estimate
from app.web.words import kinds, size, span, time_left
from tests.api.world import AUTH
from tests.web.test_ticket import hand_in


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (120, 240, "2 to 4 min"),
        (5, 20, "5 to 20 s"),
        (0.2, 3, "up to 3 s"),
        (30, 200, "up to 4 min"),
        (180, 180, "about 3 min"),
        (7200, 9000, "2 to 3 h"),
    ],
)
def test_the_range_is_told_in_fitting_units(low, high, said):
    left = Estimate(low=timedelta(seconds=low), high=timedelta(seconds=high), runs=31)
    assert time_left(left) == f"{said}, from 31 runs like this"


async def test_the_ticket_tells_the_time_left_from_ten_runs_on(browser, world):
    for number in range(11):
        done = await hand_in(browser, f"{number}.txt")
        await world.deliver(done)
        world.clock.ahead += timedelta(seconds=110)
        await world.advance(done, Completed(result=JobResult()))
        world.clock.ahead += FRESH_FOR + timedelta(seconds=1)
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


async def test_the_api_carries_the_same_estimate_and_its_etag_does_not_change_for_it(browser, world):
    for number in range(10):
        done = await hand_in(browser, f"{number}.txt")
        await world.deliver(done)
        world.clock.ahead += timedelta(seconds=110)
        await world.advance(done, Completed(result=JobResult()))
    path = f"/api/v1/jobs/{await hand_in(browser, 'next.txt')}"
    first = await browser.get(path, headers=AUTH)
    left = first.json()["estimate"]
    assert left["runs"] == 10
    assert 100 < left["low_seconds"] <= left["high_seconds"] < 130
    world.clock.ahead += timedelta(seconds=20)
    second = await browser.get(path, headers=AUTH)
    assert 80 < second.json()["estimate"]["low_seconds"] < left["low_seconds"] - 15
    assert first.headers["etag"] == second.headers["etag"]
    assert (await browser.get(f"/api/v1/jobs/{done}", headers=AUTH)).json()["estimate"] is None
