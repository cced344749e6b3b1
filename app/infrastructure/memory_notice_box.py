"""The notice box in the process's memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from app.domain.models import Notice
from app.infrastructure.memory_jobs import MemoryJobs


class MemoryNoticeBox:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def due(self, at: datetime, limit: int) -> list[Notice]:
        with self._memory.lock:
            due = [notice for notice in self._memory.notices.values() if notice.due_at <= at]
        return sorted(due, key=lambda notice: (notice.due_at, notice.job_id, notice.version))[:limit]

    async def take(self, notice: Notice, until: datetime) -> bool:
        key = notice.job_id, notice.version
        with self._memory.lock:
            if self._memory.notices.get(key) != notice:
                return False
            self._memory.notices[key] = replace(notice, due_at=until, tries=notice.tries + 1)
            return True

    async def put_off(self, notice: Notice, until: datetime) -> None:
        key = notice.job_id, notice.version
        with self._memory.lock:
            stored = self._memory.notices.get(key)
            if stored is not None and stored.tries == notice.tries + 1:
                self._memory.notices[key] = replace(stored, due_at=until)

    async def done(self, notice: Notice) -> None:
        with self._memory.lock:
            self._memory.notices.pop((notice.job_id, notice.version), None)
