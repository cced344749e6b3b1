"""What a worker does with a job that it cannot run now."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from types import SimpleNamespace
from typing import cast

from app.domain.errors import DiskFull
from app.domain.models import Job, JobId
from app.services import Services
from app.worker import LoopBody
from tests.services.conftest import Bench


async def test_a_job_that_cannot_be_stored_keeps_its_slot_for_a_sweeps_period_so_that_it_is_not_found_at_once() -> None:
    bench, period = Bench(), timedelta(milliseconds=150)
    body = LoopBody(cast("Services", SimpleNamespace(tasks=bench.tasks)), period)
    job_id = await bench.job()

    async def full(job_id: JobId) -> Job:
        raise DiskFull("the database has no room left")

    bench.log.get = full  # type: ignore[method-assign]
    began = monotonic()
    await body.run_job(job_id)
    assert monotonic() - began >= period.total_seconds()
    del bench.log.get
    await body.run_job(job_id)
    assert [job.job_id for job in bench.runner.ran] == [job_id]
    await bench.tasks.close()
