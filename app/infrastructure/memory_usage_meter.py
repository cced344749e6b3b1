"""What clients have used of their quotas, told from the jobs in the process's memory."""

from __future__ import annotations

from datetime import datetime

from app.domain.quotas import Quota, Quotas, Unit, Usage
from app.infrastructure.memory_jobs import MemoryJobs, used


class MemoryUsageMeter:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def usage(self, client: str, quotas: Quotas, at: datetime) -> Usage:
        return used(self._memory, client, quotas, at)

    async def last_of(self, client: str, quota: Quota, at: datetime, wanted: int) -> datetime | None:
        with self._memory.lock:
            mine = [job for job in self._memory.jobs.values() if job.client == client]
        freed = 0
        for made, size in sorted((job.created_at, job.file.size if job.file else 0) for job in mine):
            if made > quota.since(at):
                freed += size if quota.unit is Unit.BYTES else 1
                if freed >= wanted:
                    return made
        return None

    async def knows(self, client: str, idempotency_key: str) -> bool:
        with self._memory.lock:
            jobs, joined = list(self._memory.jobs.values()), (client, idempotency_key) in self._memory.joined
        return joined or any((job.client, job.idempotency_key) == (client, idempotency_key) for job in jobs)
