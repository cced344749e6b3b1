"""How many jobs there are, by workflow and status: counted once for all who look, and never more often than it is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from app.domain.protocols import JobCounts, JobSearch
from app.domain.workflow import Workflow

# Counting reads an index: about 0.2 µs a job. Kept for 4 µs a job, the figures take a twentieth of a core at most.
FRESH_FOR_EACH = timedelta(microseconds=4)
MANY = 50_000  # with fewer, every figure is of this moment
STALE = 10  # figures up to so many times older are given to whoever asks, while newer ones are being counted


class Counts:
    """The figures of one process. A few jobs are counted whenever somebody asks; a million, every four seconds."""

    def __init__(self, search: JobSearch, workflows: Mapping[str, Workflow], clock: Callable[[], datetime]) -> None:
        self._search, self._workflows, self._clock = search, workflows, clock
        self._known: tuple[datetime, JobCounts] | None = None
        self._counting: asyncio.Task[JobCounts] | None = None

    async def now(self) -> JobCounts:
        """The figures, in a large database those of a few seconds ago. Raises Unavailable."""
        if self._known is not None:
            at, known = self._known
            number = sum(known.by_workflow.values())
            age, fresh_for = abs(self._clock() - at), number * FRESH_FOR_EACH
            if number >= MANY and age <= STALE * fresh_for:
                if age > fresh_for:
                    self._begin()
                return known
        return await asyncio.shield(self._begin())  # who goes away does not take it from the others

    def _begin(self) -> asyncio.Task[JobCounts]:
        """The counting that goes on, or a new one."""
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count())
            self._counting.add_done_callback(_heeded)
        return self._counting

    async def _count(self) -> JobCounts:
        now = self._clock()
        overdue_before = {name: now - each.periods.callback_timeout for name, each in self._workflows.items()}
        counts = await self._search.counts(overdue_before)
        self._known = now, counts
        return counts


def _heeded(counting: asyncio.Task[JobCounts]) -> None:
    """A failure that nobody waited for is found again by whoever asks next."""
    if not counting.cancelled():
        counting.exception()
