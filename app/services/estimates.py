"""How long a job may still take, from how long others of its workflow took: an honest range, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import Unavailable
from app.domain.models import Job
from app.domain.protocols import JobStatistics

FEWEST = 10
LOOK_AT = 60  # newest successes of a workflow
FRESH_FOR = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Four of five runs that were as old as this one needed between `low` and `high` more; `runs` is how many they were."""

    low: timedelta
    high: timedelta
    runs: int


class Estimates:
    """Estimates for the jobs of one process. A workflow's history is asked for at most once in a while, however many
    look at its jobs."""

    def __init__(self, statistics: JobStatistics, clock: Callable[[], datetime]) -> None:
        self._statistics, self._clock = statistics, clock
        self._known: dict[str, tuple[datetime, Sequence[timedelta]]] = {}
        self._asking = asyncio.Lock()

    async def of(self, job: Job, *, overdue: bool) -> Estimate | None:
        """How much longer; None where the job has ended or does not go the usual way, or too few did so before."""
        if job.status.ended or overdue or job.trouble is not None or job.lost_leases:
            return None
        try:
            durations = await self._durations(job.workflow)
        except Unavailable:  # it is an extra: what it comes with must not fail for it
            return None
        return estimate(durations, self._clock() - job.created_at)

    async def _durations(self, workflow: str) -> Sequence[timedelta]:
        known = self._fresh(workflow)
        if known is not None:
            return known
        async with self._asking:
            known = self._fresh(workflow)
            return await self._ask(workflow) if known is None else known

    async def _ask(self, workflow: str) -> Sequence[timedelta]:
        known = await self._statistics.durations(workflow, LOOK_AT)
        self._known[workflow] = self._clock(), known
        return known

    def _fresh(self, workflow: str) -> Sequence[timedelta] | None:
        at, known = self._known.get(workflow, (None, ()))
        return known if at is not None and self._clock() - at <= FRESH_FOR else None


def estimate(durations: Sequence[timedelta], so_far: timedelta) -> Estimate | None:
    """The range in which the middle four fifths of the runs ended that took longer than `so_far`; None for too few."""
    left = sorted(each - so_far for each in durations if each > so_far)
    if len(left) < FEWEST:
        return None
    tenth = len(left) // 10
    return Estimate(low=left[tenth], high=left[-1 - tenth], runs=len(left))
