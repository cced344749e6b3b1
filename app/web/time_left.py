"""How long a job may still take, from how long others of its workflow took: an honest range, or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.models import Job, JobStatus
from app.domain.protocols import JobSearch

FEWEST = 10
LOOK_AT = 60  # newest successes of a workflow
FRESH_FOR = timedelta(seconds=30)
_UNITS = ((1.0, 90.0, "s"), (60.0, 5400.0, "min"), (3600.0, math.inf, "h"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLeft:
    """Four of five runs that were as old as this one needed between `low` and `high` more; `runs` is how many they were."""

    low: timedelta
    high: timedelta
    runs: int

    def __str__(self) -> str:
        """`2 to 4 min, from 31 runs like this`."""
        low, high = self.low.total_seconds(), self.high.total_seconds()
        length, unit = next((length, unit) for length, most, unit in _UNITS if high < most)
        least, most = math.floor(low / length), max(math.ceil(high / length), 1)
        figures = f"{least} to {most}" if 0 < least < most else f"up to {most}" if least < most else f"about {most}"
        return f"{figures} {unit}, from {self.runs} runs like this"


def time_left(durations: Sequence[timedelta], so_far: timedelta) -> TimeLeft | None:
    """The range in which the middle four fifths of the runs ended that took longer than `so_far`; None for too few."""
    left = sorted(each - so_far for each in durations if each > so_far)
    if len(left) < FEWEST:
        return None
    tenth = len(left) // 10
    return TimeLeft(low=left[tenth], high=left[-1 - tenth], runs=len(left))


@dataclass(slots=True)
class Durations:
    """How long each workflow's newest successes took, asked for at most once in a while."""

    _known: dict[str, tuple[datetime, list[timedelta]]] = field(default_factory=dict)

    async def of(self, workflow: str, search: JobSearch, now: datetime) -> list[timedelta]:
        """From handing in to the result, each."""
        at, known = self._known.get(workflow, (None, []))
        if at is None or now - at > FRESH_FOR:
            page = await search.page(status=JobStatus.SUCCESS, workflow=workflow, limit=LOOK_AT)
            known = [job.completed_at - job.created_at for job in page.jobs if job.completed_at]
            self._known[workflow] = now, known
        return known


def can_be_told(job: Job, *, overdue: bool) -> bool:
    """Whether the job goes the usual way, so that others tell something about it."""
    return not job.status.ended and not overdue and job.trouble is None and job.lost_leases == 0
