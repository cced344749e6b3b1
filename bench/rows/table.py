"""All rows, in the order in which they run, with the seconds that each usually takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.report import Report
from bench.rows import accept, deliver, live, look, profiles, start
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its name for `ROW=`, what it measures, how long that usually takes, and the play itself."""

    name: str
    what: str
    seconds: float
    play: Callable[[Stage], Report]


ROWS = (
    Row("accept", "accepting uploads, beside the limit and the peers", 190, accept.accept),
    Row("postgresql", "the same on PostgreSQL", 75, accept.accept_on_postgresql),
    Row("deliver", "deliveries by one worker, far side answers at once", 150, deliver.deliver),
    Row("slow", "deliveries by one worker, far side takes 100 ms", 90, deliver.deliver_slowly),
    Row("status", "status by id with a million jobs", 60, look.status),
    Row("page", "a page of 50 with a million jobs", 65, look.page),
    Row("sweep", "finding what is due among a million jobs", 25, look.sweep),
    Row("profiles", "reports that are made once and read by many", 40, profiles.profiles),
    Row("start", "make run to ready, and memory at rest", 35, start.start),
    Row("streams", "a thousand open event streams in one process", 25, live.streams),
    Row("visible", "from a callback to the words in a hundred open pages", 30, live.visible),
)
