"""The last day as a chart: jobs by the hour they were handed in, and how long their successes took. Pure, but for `Day`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.models import JobStatus
from app.domain.protocols import HourOfJobs, JobStatistics
from app.web import words

HOURS = 24
HOUR = timedelta(hours=1)
SAMPLE = 200  # newest successes of an hour from which its latency is told
FRESH_FOR = timedelta(seconds=15)
# In the drawing's own units; it is stretched to the room there is.
WIDTH, HEIGHT, GAP = 720.0, 100.0, 4.0
_KINDS: Mapping[str, tuple[str, tuple[JobStatus, ...]]] = {
    "good": ("Done", (JobStatus.SUCCESS,)),
    "bad": ("Failed", (JobStatus.FAILURE,)),
    "still": ("Cancelled", (JobStatus.CANCELLED,)),
    "live": ("Unfinished", (JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.WAITING)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One coloured part of a column."""

    tone: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One hour in figures. `median` and `slow` (the 95th of 100) are None where nothing was done."""

    at: datetime
    until: datetime
    counts: tuple[int, ...]
    median: timedelta | None
    slow: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the template draws: blocks, two lines, and the same in figures."""

    blocks: list[Block]
    medians: str
    slows: str
    rows: list[Row]
    legend: list[tuple[str, str, int]]
    most: int
    slowest: timedelta | None
    summary: str


def chart(hours: Sequence[HourOfJobs]) -> Chart:
    """The drawing of these hours."""
    rows = [_row(hour) for hour in hours]
    most = max((sum(row.counts) for row in rows), default=0)
    slowest = max((row.slow for row in rows if row.slow is not None), default=None)
    totals = [sum(row.counts[number] for row in rows) for number in range(len(_KINDS))]
    legend = [(tone, label, total) for (tone, (label, _)), total in zip(_KINDS.items(), totals, strict=True)]
    told = ", ".join(f"{total} {label.lower()}" for _, label, total in legend)
    return Chart(
        blocks=[block for place, row in enumerate(rows) for block in _blocks(place, row, most, len(rows))],
        medians=_line([row.median for row in rows], slowest),
        slows=_line([row.slow for row in rows], slowest),
        rows=rows,
        legend=legend,
        most=most,
        slowest=slowest,
        summary=f"{sum(totals)} jobs in the last {len(rows)} hours: {told}."
        + (f" The slowest hour's 95th percentile is {words.span(slowest)}." if slowest is not None else ""),
    )


def quantile(durations: Sequence[timedelta], share: float) -> timedelta | None:
    """The smallest of them that at least this share does not exceed."""
    ordered = sorted(durations)
    return ordered[max(-int(-share * len(ordered) // 1), 1) - 1] if ordered else None


def _row(hour: HourOfJobs) -> Row:
    counts = tuple(sum(hour.by_status.get(status, 0) for status in statuses) for _, statuses in _KINDS.values())
    return Row(
        at=hour.at,
        until=hour.at + HOUR,
        counts=counts,
        median=quantile(hour.durations, 0.5),
        slow=quantile(hour.durations, 0.95),
    )


def _blocks(place: int, row: Row, most: int, columns: int) -> list[Block]:
    found, top, width = [], HEIGHT, WIDTH / columns
    for tone, count in zip(_KINDS, row.counts, strict=True):
        if count:
            height = max(HEIGHT * count / most, 1.0)
            top -= height
            found.append(Block(tone=tone, x=place * width, y=max(top, 0.0), width=width - GAP, height=height))
    return found


def _line(values: Sequence[timedelta | None], slowest: timedelta | None) -> str:
    """An SVG path; hours without a value leave a hole, a value between two holes is a short dash."""
    if not slowest:
        return ""
    step, parts, pen = WIDTH / len(values), [], False
    for place, value in enumerate(values):
        if value is None:
            pen = False
            continue
        x, y = place * step, HEIGHT - 2 - (HEIGHT - 4) * (value / slowest)
        parts.append(f"{'L' if pen else 'M'}{x:.1f} {y:.1f}L{x + step - GAP:.1f} {y:.1f}")
        pen = True
    return "".join(parts)


class Day:
    """The last day's figures, asked for at most once in a while, however many look."""

    def __init__(self) -> None:
        self._known: tuple[datetime, Chart] | None = None
        self._asking = asyncio.Lock()

    async def chart(self, statistics: JobStatistics, clock: Callable[[], datetime]) -> Chart:
        """The last day up to this hour. Raises Unavailable."""
        async with self._asking:
            now = clock()
            if self._known is None or abs(now - self._known[0]) > FRESH_FOR:
                since = now.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * HOUR
                self._known = now, chart(await statistics.hours(since, HOURS, SAMPLE))
            return self._known[1]
