"""All rows, in the order in which they run, with the seconds that each usually takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.report import Report
from bench.rows import accept
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
)
