"""The lines of all jobs in the order of their times, in the process's memory."""

from __future__ import annotations

from datetime import datetime

from app.domain.record_ports import Written
from app.infrastructure.memory_jobs import MemoryJobs


class MemoryTimeline:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def written(self, since: datetime, limit: int, after: Written | None = None) -> list[Written]:
        with self._memory.lock:
            lines = [line for lines in self._memory.lines.values() for line in lines if line.at >= since]
        ordered = sorted(Written(line.at, str(line.job_id), line.version, line.hash) for line in lines)
        return [line for line in ordered if after is None or line[:3] > after[:3]][:limit]
