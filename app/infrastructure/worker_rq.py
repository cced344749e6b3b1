"""AsyncWorker: an RQ worker that keeps many jobs in flight on one event loop, and runs one coroutine and nothing else.

Doorbells come through a thread (`worker_rq_clerk`), RQ's registries are kept by `worker_rq_books`. The sweep does not
depend on either: with Redis dead, hung, full or hostile, jobs in flight go on and the sweep finds the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from app.domain.errors import Unavailable
from app.domain.models import JobId
from app.infrastructure import doorbell_rq as doorbell
from app.infrastructure.worker_rq_books import Outcome, RqBooks
from app.infrastructure.worker_rq_clerk import Clerk, HeadOfQueue, Slots

logger = logging.getLogger(__name__)

__all__ = ["AsyncWorker", "HeadOfQueue"]

SHARE: Final = 10  # a tenth of the slots is kept clear for each sweep, for at most
CLEARING: Final = 0.1  # seconds
AGAIN: Final = 0.02  # seconds between two sweeps at least
SIGNING_OFF: Final = 5.0


class AsyncWorker:
    """Up to `concurrency` jobs at a time, rung for in the queue `queue_name` at `url` or found by `take`.

    `run` does one job. `take` is asked once per `sweep_every` for at most so many ids that are due and have no doorbell
    coming; the number can be 0, and the second argument says what is known of the queue. It is asked sooner when a job
    that it gave has ended. `room` says how many jobs may be rung for, beside so many in flight; any thread may ask it.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        url: str,
        queue_name: str,
        *,
        run: Callable[[JobId], Awaitable[None]],
        take: Callable[[int, HeadOfQueue], Awaitable[Sequence[JobId]]],
        room: Callable[[int], int],
        concurrency: int = 100,
        sweep_every: timedelta = timedelta(seconds=1),
        drain_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._run, self._take = run, take
        self._every = sweep_every.total_seconds()
        self._drain_for = drain_timeout.total_seconds()
        self._slots = Slots(concurrency)
        self._share = max(1, concurrency // SHARE)
        self._client = doorbell.connect(url)
        books = RqBooks(self._client, queue_name)
        self.name: str = books.name
        self._clerk = Clerk(books, self._slots, self._on_doorbells, self._on_quiet, room)
        self._flights: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._quiet = asyncio.Event()
        self._last_swept: frozenset[JobId] = frozenset()
        self._found: set[JobId] = set()
        self._found_ended = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then take nothing new, see the jobs in flight to their end, and sign off."""
        self._loop = asyncio.get_running_loop()
        self._clerk.start()
        sweeping = asyncio.create_task(self._sweep_for_ever())
        try:
            await stop.wait()
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await self._drain()

    @property
    def in_flight(self) -> int:
        """How many jobs are running."""
        return len(self._flights)

    async def _sweep_for_ever(self) -> None:
        troubled = False
        while True:
            more = False
            try:
                more = await self._sweep()
                troubled = False
            except Unavailable as error:
                if not troubled:
                    logger.warning("the sweep waits: %s", error)
                troubled = True
            except Exception:  # outermost frame of the sweep: without it nothing would be found any more
                logger.exception("a sweep failed")
            await asyncio.sleep(min(AGAIN, self._every))
            await (self._share_free(self._every) if more else self._a_found_one_ends(self._every))

    async def _sweep(self) -> bool:
        """Start what is due; say whether more of it may be."""
        scarce = self._slots.free < self._share
        self._clerk.hold(scarce)
        try:
            if scarce:
                await self._share_free(CLEARING)
            free = self._slots.free
            found = await self._take(free, self._clerk.head())
            swept = [job_id for job_id in found if self._slots.claim(job_id)]
            self._found_ended.clear()
            self._found.update(swept)
            self._start(swept)
            self._clerk.begun(swept)
        finally:
            self._clerk.hold(False)
        new = not self._last_swept.issuperset(swept)
        self._last_swept = frozenset(swept)
        return new and len(found) >= free

    async def _a_found_one_ends(self, within: float) -> None:
        """Where the sweep found one, there may be another for its place."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._found_ended.wait(), within)

    async def _share_free(self, within: float) -> None:
        """Wait for the sweep's share of the slots."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._slots.free < self._share:
                    self._freed.clear()
                    await self._freed.wait()

    def _on_doorbells(self, job_ids: Sequence[JobId]) -> None:
        self._loop.call_soon_threadsafe(self._start, job_ids)

    def _on_quiet(self) -> None:
        self._loop.call_soon_threadsafe(self._quiet.set)

    def _start(self, job_ids: Sequence[JobId]) -> None:
        for job_id in job_ids:
            flight = self._loop.create_task(self._fly(job_id))
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)

    async def _fly(self, job_id: JobId) -> None:
        began = time.monotonic()
        error: str | None = None
        try:
            await self._run(job_id)
        except asyncio.CancelledError:
            error = "CancelledError"
        except Exception as trouble:  # outermost frame of a job: the worker goes on with the others
            error = type(trouble).__name__
            logger.exception("job %s ended its run with an error", job_id)
        # In this order: whoever claims the job again finds its end in the clerk's news.
        self._clerk.ended(Outcome(job_id=job_id, error=error, seconds=time.monotonic() - began))
        self._slots.release(job_id)
        self._clerk.look_up()
        self._freed.set()
        if job_id in self._found:
            self._found.discard(job_id)
            self._found_ended.set()

    async def _drain(self) -> None:
        until = time.monotonic() + self._drain_for
        self._clerk.take_no_more()
        # An id that was on its way when the clerk was told is started before it says that it is quiet.
        with suppress(TimeoutError):
            async with asyncio.timeout(SIGNING_OFF):
                await self._quiet.wait()
        if self._flights:
            await asyncio.wait(self._flights, timeout=max(0.0, until - time.monotonic()))
        for flight in tuple(self._flights):
            flight.cancel()
        if self._flights:
            await asyncio.wait(self._flights, timeout=SIGNING_OFF)
        self._clerk.close()
        await asyncio.to_thread(self._clerk.join, SIGNING_OFF)
        self._client.close()
