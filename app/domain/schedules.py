"""Work by the calendar: what a schedule is, and what keeps and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.models import JobId, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Work to be handed in whenever `cron` (five fields) says so in `timezone` (an IANA name).

    `due_at` is the next time, None while paused; `fired_at` and `job_id` tell of the last, `problem` why that one was
    refused. `version` counts changes.
    """

    schedule_id: UUID
    client: str
    cron: str
    timezone: str
    workflow: str
    params: Mapping[str, Json]
    created_at: datetime
    due_at: datetime | None
    version: int = 1
    fired_at: datetime | None = None
    job_id: JobId | None = None
    problem: str | None = None


class ScheduleBook(Protocol):
    """Every schedule there is."""

    async def add(self, schedule: Schedule) -> None:
        """Stores a new one durably."""
        ...

    async def get(self, schedule_id: UUID) -> Schedule:
        """Raises ScheduleNotFound."""
        ...

    async def all(self) -> list[Schedule]:
        """Every one, the oldest first."""
        ...

    async def due(self, at: datetime, limit: int) -> list[Schedule]:
        """At most `limit` with `due_at <= at`, the longest due first; none that is paused."""
        ...

    async def change(self, schedule: Schedule) -> bool:
        """Replaces version n-1 by version n; of several who try, one is told that it was them. What was handed in
        (client, cron, timezone, workflow, params) stays. False also where there is no such schedule (any more)."""
        ...

    async def remove(self, schedule_id: UUID) -> None:
        """Raises ScheduleNotFound."""
        ...


class Calendar(Protocol):
    """Reads cron lines."""

    def next_time(self, cron: str, timezone: str, after: datetime) -> datetime:
        """The first time after `after` that the line names in that zone, in UTC.

        A time that the clocks leap over is moved to just after the leap. A fixed hour that they go through twice counts
        once, the first time; where the hour is a wildcard, time goes on as it is. Raises Invalid for a line or a zone
        that is none, and for a line that never comes true.
        """
        ...
