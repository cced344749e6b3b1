"""The ears of one process: who watches which job, and the look at versions that finds what no hint told."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

from app.domain.errors import Unavailable
from app.domain.models import JobId

logger = logging.getLogger(__name__)

Versions = Callable[[Collection[JobId]], Awaitable[dict[JobId, int]]]
UNKNOWN = -1


class Ear:
    """One watcher's ear; it belongs to the event loop on which it was opened."""

    def __init__(self) -> None:
        self.version = UNKNOWN
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()

    async def wait(self, timeout: timedelta) -> bool:  # noqa: ASYNC109  # the Protocol's own words
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._heard.wait()
        except TimeoutError:
            return False
        self._heard.clear()
        return True

    def wake(self, running: asyncio.AbstractEventLoop | None) -> None:
        """Let the watcher look again. `running` is the caller's loop, if it has one."""
        if self._loop is running:
            self._heard.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard.set)


class Ears:
    """All ears of this process, by job. `wake` may be called from any thread."""

    def __init__(self, versions: Versions, every: timedelta) -> None:
        self._versions = versions
        self._every = every.total_seconds()
        self._ears: dict[JobId, set[Ear]] = {}
        self._lock = threading.Lock()

    @asynccontextmanager
    async def watch(self, job_id: JobId) -> AsyncIterator[Ear]:
        """Open an ear for this job."""
        ear = Ear()
        with self._lock:
            self._ears.setdefault(job_id, set()).add(ear)
        try:
            yield ear
        finally:
            with self._lock:
                self._ears[job_id].discard(ear)
                if not self._ears[job_id]:
                    del self._ears[job_id]

    def wake(self, job_ids: Iterable[JobId]) -> None:
        """Wake every ear of these jobs."""
        running = _running_loop()
        for job_id in job_ids:
            for ear in self._of(job_id):
                ear.wake(running)

    async def look_for_ever(self) -> None:
        """Compare the watched jobs' versions once per period: one question for all of them."""
        troubled = False
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._look()
                troubled = False
            except Unavailable:
                if not troubled:
                    logger.warning("the versions of watched jobs cannot be read; watchers wait")
                troubled = True

    async def _look(self) -> None:
        with self._lock:
            watched = frozenset(self._ears)
        if not watched:
            return
        found = await self._versions(watched)
        running = _running_loop()
        for job_id in watched:
            version = found.get(job_id, 0)
            # An ear that was opened since the last look wakes once: what it missed before cannot be known.
            for ear in self._of(job_id):
                if ear.version != version:
                    ear.version = version
                    ear.wake(running)

    def _of(self, job_id: JobId) -> tuple[Ear, ...]:
        with self._lock:
            return tuple(self._ears.get(job_id, ()))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
