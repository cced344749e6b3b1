"""What a Calendar promises."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.domain.errors import Invalid
from app.infrastructure.calendar_cron import CronCalendar

BERLIN = "Europe/Berlin"
CALENDAR = CronCalendar()


def times(cron: str, zone: str, after: str, count: int = 3) -> list[str]:
    at, found = datetime.fromisoformat(after).replace(tzinfo=UTC), []
    for _ in range(count):
        at = CALENDAR.next_time(cron, zone, at)
        assert at.tzinfo is UTC
        found.append(f"{at:%d %H:%M}")
    return found


def test_a_time_is_read_in_its_zone_and_comes_strictly_after() -> None:
    assert times("0 7 * * *", BERLIN, "2026-01-10T06:00") == ["11 06:00", "12 06:00", "13 06:00"]
    assert times("0 7 * * *", BERLIN, "2026-07-10T04:59") == ["10 05:00", "11 05:00", "12 05:00"]
    assert times("15 9 * * 1-5", "UTC", "2026-11-27T10:00", 2) == ["30 09:15", "01 09:15"]


def test_a_time_that_the_clocks_leap_over_comes_just_after_the_leap_and_only_that_day() -> None:
    assert times("30 2 * * *", BERLIN, "2026-03-28T12:00") == ["29 01:00", "30 00:30", "31 00:30"]


def test_a_fixed_hour_that_comes_twice_counts_once() -> None:
    assert times("30 2 * * *", BERLIN, "2026-10-24T12:00") == ["25 00:30", "26 01:30", "27 01:30"]
    assert times("30 2 * * *", BERLIN, "2026-10-25T00:30", 1) == ["26 01:30"]


def test_where_the_hour_is_a_wildcard_time_goes_on_as_it_is() -> None:
    assert times("*/30 * * * *", BERLIN, "2026-10-24T23:45", 5) == [
        "25 00:00",
        "25 00:30",
        "25 01:00",
        "25 01:30",
        "25 02:00",
    ]
    assert times("*/30 * * * *", BERLIN, "2026-03-29T00:15", 3) == ["29 00:30", "29 01:00", "29 01:30"]


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("every day", "UTC", "cron"),
        ("* * * * * *", "UTC", "cron"),
        ("61 * * * *", "UTC", "cron"),
        ("0 0 31 2 *", "UTC", "cron"),
        ("1,2 " * 60 + "* * *", "UTC", "cron"),
        ("0 7 * * *", "Berlin", "timezone"),
        ("0 7 * * *", "../etc/passwd", "timezone"),
        ("0 7 * * *", "", "timezone"),
        ("0 7 * * *", "a\0b", "timezone"),
    ],
)
def test_what_is_no_line_or_no_zone_is_refused_with_its_field(cron: str, zone: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        CALENDAR.next_time(cron, zone, datetime(2026, 1, 1, tzinfo=UTC))
    assert [one.field for one in caught.value.problems] == [field]
