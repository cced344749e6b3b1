"""Removes what is no longer kept: files past their retention, and bytes that no job names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from app.domain import lifecycle
from app.domain.errors import Race
from app.domain.lifecycle import Noted, NoteKind
from app.domain.models import JobId
from app.domain.protocols import FileStore, JobLogStore, JobSearch

BATCH = 100


class Housekeeping:
    """`keep_files` counts from a job's end (None: for ever); `orphan_age` must be longer than any upload takes;
    `looked_up` files at a time are compared with the rows."""

    def __init__(
        self,
        log: JobLogStore,
        search: JobSearch,
        files: FileStore,
        clock: Callable[[], datetime],
        keep_files: timedelta | None,
        orphan_age: timedelta,
        looked_up: int = 1000,
    ) -> None:
        self._log, self._search, self._files, self._clock = log, search, files, clock
        self._keep_files, self._orphan_age = keep_files, orphan_age
        self._looked_up, self._looked_up_to = looked_up, JobId(UUID(int=0))

    async def sweep(self) -> int:
        """Removes at most a batch of each kind; returns how many files went."""
        return await self._remove_orphans() + await self._remove_expired()

    async def _remove_orphans(self) -> int:
        # Nearly all old files have their row. Each round looks further than the one before, and begins again at the end.
        files = sorted(await self._files.orphans(self._orphan_age))
        found = ([job_id for job_id in files if job_id > self._looked_up_to] or files)[: self._looked_up]
        self._looked_up_to = found[-1] if found else self._looked_up_to
        known = await self._search.versions(found) if found else {}
        orphans = [job_id for job_id in found if job_id not in known]
        for job_id in orphans:
            await self._files.remove(job_id)
        return len(orphans)

    async def _remove_expired(self) -> int:
        if self._keep_files is None:
            return 0
        jobs = await self._search.removable(self._clock() - self._keep_files, BATCH)
        for job in jobs:
            await self._files.remove(job.job_id)  # first: a crash in between repeats the removal, never forgets it
            try:
                await self._log.record(*lifecycle.advance(job, Noted(kind=NoteKind.FILE_REMOVED), self._clock()))
            except Race:
                continue
        return len(jobs)
