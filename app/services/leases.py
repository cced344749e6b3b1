"""Keeps the leases of running jobs alive from a thread of its own, and cancels what is no longer ours to do."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import CallslipError, Unavailable
from app.domain.models import Job, JobId, JobStatus
from app.domain.protocols import JobAgenda, JobLogStore

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Hold:
    """One running attempt. `lost` says that it was cancelled because it is over."""

    attempt: int
    task: asyncio.Task[object]
    lost: bool = False
    over: bool = False

    def lose(self) -> None:
        if not self.over:
            self.lost = True
            self.task.cancel()


class LeaseKeeper:
    """Renews every `every` for `lease`, in one statement for all, as long as the loop that does the work ticks: a loop
    that is stuck for a lease's length must lose its jobs."""

    def __init__(
        self, agenda: JobAgenda, log: JobLogStore, clock: Callable[[], datetime], lease: timedelta, every: timedelta
    ) -> None:
        self._agenda, self._log, self._clock = agenda, log, clock
        self._lease, self._every = lease, every.total_seconds()
        self._holds: dict[JobId, Hold] = {}
        self._ticked = time.monotonic()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @asynccontextmanager
    async def hold(self, job: Job) -> AsyncIterator[Hold]:
        """Keeps the attempt's lease while the block runs in the current task, and cancels that task if it is lost."""
        self._start()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only a task can wait here
        held = self._holds[job.job_id] = Hold(job.attempt, task)
        try:
            yield held
        finally:
            held.over = True
            if self._holds.get(job.job_id) is held:
                del self._holds[job.job_id]

    def close(self) -> None:
        """Stops renewing."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _start(self) -> None:
        if self._thread is None:
            self._ticked = time.monotonic()
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=lambda: asyncio.run(self._keep(loop)), name="leases", daemon=True)
            self._thread.start()

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.wait(self._every):
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(self._tick)
            if time.monotonic() - self._ticked < self._lease.total_seconds() and self._holds:
                await self._renew(loop)

    async def _renew(self, loop: asyncio.AbstractEventLoop) -> None:
        holds = dict(self._holds)
        try:
            until = self._clock() + self._lease
            kept = await self._agenda.renew({job_id: hold.attempt for job_id, hold in holds.items()}, until)
            for job_id in holds.keys() - kept:
                if not await self._handed_over(job_id, holds[job_id].attempt):
                    loop.call_soon_threadsafe(holds[job_id].lose)
        except Unavailable as error:
            logger.warning("leases not renewed: %s", error)

    async def _handed_over(self, job_id: JobId, attempt: int) -> bool:
        """Whether the attempt ended only because the workflow spoke before its own answer: then the delivery goes on."""
        try:
            job = await self._log.get(job_id)
        except Unavailable:
            return True
        except CallslipError:
            return False
        return job.attempt == attempt and job.status in (JobStatus.WAITING, JobStatus.SUCCESS, JobStatus.FAILURE)
