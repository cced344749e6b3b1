"""All rows, in the order in which they run, with the seconds that each usually takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.report import Report
from bench.rows import accept, deliver, large, life, live, look, profiles, record, start, together
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its name for `ROW=`, what it measures, how long that usually takes, and the play itself."""

    name: str
    what: str
    seconds: float
    play: Callable[[Stage], Report]


ROWS = (
    Row("accept", "accepting uploads, beside the limit and the peers", 120, accept.accept),
    Row("postgresql", "the same on PostgreSQL", 60, accept.accept_on_postgresql),
    Row("gigabyte", "one upload of 1 GiB", 40, large.gigabyte),
    Row("hostile", "bodies made to hurt the parser", 16, large.hostile),
    Row("deliver", "deliveries by one worker, far side answers at once", 85, deliver.deliver),
    Row("slow", "deliveries by one worker, far side takes 100 ms", 75, deliver.deliver_slowly),
    Row("life", "the whole life of a job on both cores", 50, life.life),
    Row("status", "status by id with a million jobs", 50, look.status),
    Row("page", "a page of 50 with a million jobs", 40, look.page),
    Row("operations", "the page of operations with a million jobs", 25, look.operations),
    Row("sweep", "finding what is due among a million jobs", 8, look.sweep),
    Row("verify", "checking a million audit lines", 85, record.verify),
    Row("commits", "group commit, alone and together", 15, record.commits),
    Row("two", "two APIs and two workers on one SQLite file", 42, together.two),
    Row("backlog", "a slow far side and a backlog of 10,000", 50, together.backlog),
    Row("profiles", "reports that are made once and read by many", 37, profiles.profiles),
    Row("start", "make run to ready, and memory at rest", 30, start.start),
    Row("streams", "a thousand open event streams in one process", 20, live.streams),
    Row("visible", "from a callback to the words in a hundred open pages", 26, live.visible),
)
