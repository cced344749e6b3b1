"""Jobs in the process's memory, which the `memory_*` adapters share: the same promises, but for surviving the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.domain.models import AuditEvent, Job, JobId, Notice
from app.domain.protocols import StepOutput
from app.domain.quotas import Quota, Quotas, Usage


def local_time() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class MemoryJobs:
    """What the adapters share. `clock` stands for the database's."""

    clock: Callable[[], datetime] = local_time
    jobs: dict[JobId, Job] = field(default_factory=dict)
    lines: dict[JobId, list[AuditEvent]] = field(default_factory=dict)
    notices: dict[tuple[JobId, int], Notice] = field(default_factory=dict)
    outputs: dict[JobId, dict[int, StepOutput]] = field(default_factory=dict)
    joined: dict[tuple[str, str], tuple[JobId, str | None]] = field(default_factory=dict)  # by client and key
    lock: threading.RLock = field(default_factory=threading.RLock)


def used(memory: MemoryJobs, client: str, quotas: Quotas, at: datetime) -> Usage:
    """What this client has used of its quotas."""
    with memory.lock:
        mine = [job for job in memory.jobs.values() if job.client == client]

    def within(quota: Quota | None) -> list[Job]:
        return [job for job in mine if job.created_at > quota.since(at)] if quota else []

    return Usage(
        jobs=len(within(quotas.jobs)),
        volume=sum(job.file.size for job in within(quotas.volume) if job.file),
        unfinished=sum(not job.status.ended for job in mine) if quotas.unfinished else 0,
    )


def room(memory: MemoryJobs, job: Job, places: int) -> bool:
    """Whether fewer jobs than that of its workflow and subject were started before or are older."""
    line = [one for one in memory.jobs.values() if (one.workflow, one.subject) == (job.workflow, job.subject)]
    ahead = [one for one in line if one.job_id != job.job_id and not one.status.ended]
    return sum(one.attempt > 0 or one.job_id < job.job_id for one in ahead) < places
