"""Schedules in the process's memory."""

from __future__ import annotations

import threading
from datetime import datetime
from uuid import UUID

from app.domain.errors import ScheduleNotFound
from app.domain.schedules import Schedule


class MemoryScheduleBook:
    def __init__(self) -> None:
        self._schedules: dict[UUID, Schedule] = {}
        self._lock = threading.Lock()

    async def add(self, schedule: Schedule) -> None:
        with self._lock:
            self._schedules[schedule.schedule_id] = schedule

    async def get(self, schedule_id: UUID) -> Schedule:
        with self._lock:
            if schedule_id not in self._schedules:
                raise ScheduleNotFound("no schedule has this id")
            return self._schedules[schedule_id]

    async def all(self) -> list[Schedule]:
        with self._lock:
            return sorted(self._schedules.values(), key=lambda schedule: (schedule.created_at, schedule.schedule_id))

    async def due(self, at: datetime, limit: int) -> list[Schedule]:
        with self._lock:
            found = [(one.due_at, one.schedule_id, one) for one in self._schedules.values() if one.due_at is not None]
        return [one for due_at, _, one in sorted(found, key=lambda each: each[:2]) if due_at <= at][:limit]

    async def change(self, schedule: Schedule) -> bool:
        with self._lock:
            stored = self._schedules.get(schedule.schedule_id)
            if stored is None or stored.version != schedule.version - 1:
                return False
            self._schedules[schedule.schedule_id] = schedule
            return True

    async def remove(self, schedule_id: UUID) -> None:
        with self._lock:
            if self._schedules.pop(schedule_id, None) is None:
                raise ScheduleNotFound("no schedule has this id")
