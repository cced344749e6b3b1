"""The one way in which a job changes: read, `advance`, `record`; when somebody was faster, again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from app.domain import lifecycle
from app.domain.errors import StaleJob
from app.domain.lifecycle import Event, Started
from app.domain.models import Job, JobId
from app.domain.protocols import JobFeed, JobLogStore
from app.domain.workflow import Workflow


class Changes:
    """Applies events to stored jobs and tells whoever watches."""

    def __init__(
        self, log: JobLogStore, feed: JobFeed, clock: Callable[[], datetime], workflows: Mapping[str, Workflow]
    ) -> None:
        self._log, self._feed, self._clock, self._workflows = log, feed, clock, workflows

    async def apply(self, job_id: JobId, event: Event, known: Job | None = None) -> Job:
        """The job after this event. `known` is what the caller last saw of it: most often still the newest version, so
        that reading it again is spared. Raises IllegalTransition, StaleAttempt, NotDue, JobNotFound, Unavailable."""
        job = known or await self._log.get(job_id)
        while True:
            try:
                return await self.record(job, event)
            except StaleJob:
                job = await self._log.get(job_id)

    async def record(self, job: Job, event: Event) -> Job:
        """As `apply`, from this very version of the job. Raises StaleJob as well."""
        changed, line = lifecycle.advance(job, event, self._clock())
        await self._log.record(changed, line, self._places(job) if isinstance(event, Started) else None)
        self._feed.tell(job.job_id)
        return changed

    def _places(self, job: Job) -> int | None:
        """How many of the workflow's jobs may be about this one's subject; None where that is nothing to be asked: a
        job that was started before has its place."""
        workflow = self._workflows.get(job.workflow)
        return workflow.subject_limit if workflow and job.subject is not None and job.attempt == 0 else None
