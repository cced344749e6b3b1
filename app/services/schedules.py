"""Work that is handed in by the calendar: never twice for one time, and once for what was missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.errors import FieldProblem, Invalid, Rejected
from app.domain.models import FilePart, Json, ParamPart, new_job_id
from app.domain.schedules import Calendar, Schedule, ScheduleBook
from app.domain.workflow import Workflow
from app.services.task_service import Submitted

BATCH = 50


class HandIn(Protocol):
    """`TaskService.submit`."""

    async def __call__(
        self, client: str, parts: AsyncIterator[ParamPart | FilePart], idempotency_key: str | None
    ) -> Submitted: ...


class ScheduleService:
    """Keeps schedules and hands in what is due. Any number of processes may sweep at the same time."""

    def __init__(
        self,
        book: ScheduleBook,
        submit: HandIn,
        workflows: Mapping[str, Workflow],
        calendar: Calendar,
        clock: Callable[[], datetime],
    ) -> None:
        self._book, self._submit, self._workflows = book, submit, workflows
        self._calendar, self._clock = calendar, clock

    async def add(self, client: str, cron: str, timezone: str, workflow: str, params: Mapping[str, Json]) -> Schedule:
        """A schedule that is first due at the next time that `cron` names in `timezone`. Raises Invalid."""
        self._check(workflow, params)
        now = self._clock()
        schedule = Schedule(
            schedule_id=new_job_id(now),
            client=client,
            cron=cron,
            timezone=timezone,
            workflow=workflow,
            params=params,
            created_at=now,
            due_at=self._calendar.next_time(cron, timezone, now),
        )
        await self._book.add(schedule)
        return schedule

    def _check(self, name: str, params: Mapping[str, Json]) -> None:
        workflow = self._workflows.get(name)
        if workflow is None:
            known = ", ".join(sorted(self._workflows))
            raise Invalid("there is no such workflow", [FieldProblem("workflow", f"unknown; there are: {known}")])
        if workflow.file is not None:
            message = "wants a file, which a schedule does not have"
            raise Invalid(f"this workflow {message}", [FieldProblem("workflow", message)])
        workflow.check(params)

    async def all(self) -> list[Schedule]:
        """Every schedule, the oldest first."""
        return await self._book.all()

    async def pause(self, schedule_id: UUID) -> Schedule:
        """Nothing is handed in until it is resumed. Raises ScheduleNotFound."""
        return await self._changed(schedule_id, lambda schedule: replace(schedule, due_at=None))

    async def resume(self, schedule_id: UUID) -> Schedule:
        """Due again at the next time from now on; resuming what was not paused changes nothing. Raises
        ScheduleNotFound."""
        return await self._changed(schedule_id, self._resumed)

    def _resumed(self, schedule: Schedule) -> Schedule:
        due_at = schedule.due_at or self._calendar.next_time(schedule.cron, schedule.timezone, self._clock())
        return replace(schedule, due_at=due_at)

    async def remove(self, schedule_id: UUID) -> None:
        """Ends it; jobs that it handed in go on. Raises ScheduleNotFound."""
        await self._book.remove(schedule_id)

    async def _changed(self, schedule_id: UUID, change: Callable[[Schedule], Schedule]) -> Schedule:
        while True:
            schedule = await self._book.get(schedule_id)
            changed = replace(change(schedule), version=schedule.version + 1)
            if await self._book.change(changed):
                return changed

    async def sweep(self) -> int:
        """Hands in what is due; returns how many schedules were moved on by us. Raises Unavailable: what was not
        handed in then is still due."""
        due = await self._book.due(self._clock(), BATCH)
        return sum([await self._fire(schedule) for schedule in due])

    async def _fire(self, schedule: Schedule) -> bool:
        """First the job, whose key makes it one however often we come here for the same time; then the next time."""
        fired, problem = schedule.job_id, None
        try:
            key = f"schedule:{schedule.schedule_id}:{schedule.due_at:%Y%m%dT%H%M%SZ}"
            fired = (await self._submit(schedule.client, _parts(schedule), key)).job.job_id
        except Rejected as error:  # the workflow was changed or taken out since: said, and tried again next time
            problem = str(error)
        now = self._clock()
        due_at = self._calendar.next_time(schedule.cron, schedule.timezone, now)
        moved = replace(
            schedule, version=schedule.version + 1, due_at=due_at, fired_at=now, job_id=fired, problem=problem
        )
        return await self._book.change(moved)


async def _parts(schedule: Schedule) -> AsyncIterator[ParamPart | FilePart]:
    yield ParamPart("workflow", schedule.workflow)
    for name, value in schedule.params.items():
        yield ParamPart(name, value)
