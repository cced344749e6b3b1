"""What a worker process does: run jobs that a doorbell or the sweep names, and sweep."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from datetime import timedelta

from app.bootstrap import services as bootstrap
from app.core import collector
from app.core import logging as log_format
from app.core.metrics import JOBS_IN_FLIGHT
from app.core.settings import Settings, settings_or_exit
from app.domain.errors import CallslipError, JobNotFound, Unavailable
from app.domain.models import JobId
from app.services import Services

logger = logging.getLogger(__name__)

HOUSEKEEPING_ROUNDS = 60
CHECKPOINT_LOOKS = 6  # a period: several workers take turns, and each looks whether it is time


def main() -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is in flight."""
    settings = settings_or_exit()
    log_format.configure(settings.log_level, settings.log_format)
    bootstrap.run(work(settings))


async def work(settings: Settings) -> None:
    """Opens the services, works until told to stop, and closes them."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with bootstrap.open_services(settings) as services:
        body = LoopBody(services, settings.sweep_every)
        collector.settle()
        worker = bootstrap.worker(settings, run=body.run_job, take=body.sweep, room=services.tasks.unseen)
        chores = [
            asyncio.create_task(body.tell_notices(settings.sweep_every)),
            asyncio.create_task(body.fire_schedules(settings.sweep_every)),
            asyncio.create_task(body.keep_house(settings.sweep_every * HOUSEKEEPING_ROUNDS)),
            asyncio.create_task(body.keep_checkpoints(settings.checkpoint_every / CHECKPOINT_LOOKS)),
        ]
        try:
            await worker.serve(stop)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await body.write_checkpoint(early=True)  # so that what was done last is not left without one


class LoopBody:
    """What the AsyncWorker calls: `run_job` for one job, `sweep` once a period."""

    def __init__(self, services: Services, sweep_every: timedelta) -> None:
        self._services = services
        self._again_after = sweep_every.total_seconds()
        self._here: set[JobId] = set()

    async def run_job(self, job_id: JobId) -> None:
        """Runs one job. A job that is gone or taken, and a database that is away, are said and done with: the row is
        still due, and a sweep finds it. While the database is away or full the job keeps its slot for a sweep's period, or
        the sweep would find it again at once, and again."""
        self._here.add(job_id)
        with log_format.bound(job_id=str(job_id)), JOBS_IN_FLIGHT.track_inprogress():
            try:
                outcome = await self._services.tasks.run(job_id)
                logger.info("job run", extra={"outcome": outcome})
            except JobNotFound:
                logger.warning("doorbell for a job that does not exist")
            except Unavailable as error:
                logger.warning("job not run: %s", error)
                await asyncio.sleep(self._again_after)
            finally:
                self._here.discard(job_id)

    async def sweep(self, free: int, head: bootstrap.HeadOfQueue) -> Sequence[JobId]:
        """What is due and has no doorbell coming: see docs/decisions/0002."""
        services = self._services
        try:
            await services.clock.measure(services.agenda)
            return await services.tasks.sweep(free, head.new_before(services.clock()), self._here)
        except Unavailable as error:
            logger.warning("not swept: %s", error)
            return ()

    async def tell_notices(self, every: timedelta) -> None:
        """Tells the operator's address, if there is one, about jobs that ended."""
        while notices := self._services.notices:
            try:
                await notices.sweep()
            except CallslipError as error:
                logger.warning("notices put off: %s", error)
            await asyncio.sleep(every.total_seconds())

    async def fire_schedules(self, every: timedelta) -> None:
        """Hands in what is due by the calendar."""
        while True:
            try:
                await self._services.schedules.sweep()
            except CallslipError as error:
                logger.warning("schedules put off: %s", error)
            await asyncio.sleep(every.total_seconds())

    async def keep_house(self, every: timedelta) -> None:
        """Removes what is no longer kept."""
        while True:
            try:
                await self._services.housekeeping.sweep()
                if self._services.retention is not None:
                    await self._services.retention.sweep()
            except CallslipError as error:
                logger.warning("housekeeping put off: %s", error)
            await asyncio.sleep(every.total_seconds())

    async def keep_checkpoints(self, every: timedelta) -> None:
        """Looks again and again whether it is time for a checkpoint."""
        while True:
            await self.write_checkpoint()
            await asyncio.sleep(every.total_seconds())

    async def write_checkpoint(self, *, early: bool = False) -> None:
        """Writes down outside the database where the chains stand, if it is time or `early`."""
        try:
            await self._services.checkpoints.write(early=early)
        except CallslipError as error:
            logger.warning("checkpoint put off: %s", error)


if __name__ == "__main__":
    main()
