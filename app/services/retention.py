"""Erases jobs that ended long enough ago. Their skeleton and chain stay, so that the record can be verified for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from app.domain.models import Job, JobId
from app.domain.protocols import JobAgenda

BATCH = 100


class Retention:
    """`keep` counts from a job's end (None: for ever); `keep_of` are workflows with a period of their own."""

    def __init__(
        self,
        agenda: JobAgenda,
        erase: Callable[[JobId], Awaitable[Job]],
        clock: Callable[[], datetime],
        keep: timedelta | None,
        keep_of: Mapping[str, timedelta],
    ) -> None:
        self._agenda, self._erase, self._clock = agenda, erase, clock
        self._keep, self._keep_of = keep, keep_of

    async def sweep(self) -> int:
        """Erases at most a batch for each period; returns how many jobs. Doing it in several processes is no harm."""
        now, agenda = self._clock(), self._agenda
        jobs = [
            job
            for workflow, keep in self._keep_of.items()
            for job in await agenda.erasable(now - keep, BATCH, only=workflow)
        ]
        if self._keep is not None:
            jobs += await agenda.erasable(now - self._keep, BATCH, without=self._keep_of)
        for job in jobs:
            await self._erase(job.job_id)
        return len(jobs)
