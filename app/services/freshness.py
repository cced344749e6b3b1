"""Results that are made once and read often: the newest there is, how old it is, and who is making a newer one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.errors import Invalid, NotAuthentic, NotFound, Unavailable
from app.domain.models import FilePart, Job, JobStatus, Json, ParamPart
from app.domain.protocols import Mark, Standing
from app.domain.workflow import Anonymous, Workflow
from app.services.task_service import Ports, TaskService

PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it stands with what somebody asked for, at `at`.

    `made` is the newest result (None: there is none yet) and `fresh` whether it still answers, as it does for
    `fresh_for`. `making` is the unfinished job whose result will be newer, `joined` whether somebody else had begun it.
    `failed` is the newest try that failed since `made`; until `again_at` no other is begun.
    """

    params: Mapping[str, Json]
    at: datetime
    fresh_for: timedelta = timedelta()
    made: Mark | None = None
    fresh: bool = False
    making: Job | None = None
    joined: bool = False
    failed: Job | None = None
    again_at: datetime | None = None

    @property
    def age(self) -> timedelta:
        """Since the result was made; nothing where there is none."""
        return timedelta() if self.made is None else max(self.at - self.made.at, timedelta())


class FreshnessService:
    """Answers from what was made before, and starts what is missing or stale, for any workflow with a `dedup`."""

    def __init__(self, tasks: TaskService, ports: Ports, pause: timedelta = PAUSE) -> None:
        """`pause`: how long after a failed try the next may be begun, however many ask."""
        self._tasks, self._ports, self._pause = tasks, ports, pause

    async def ask(self, client: str | None, name: str, params: Mapping[str, Json]) -> Outcome:
        """How it stands now with what these parameters ask of a workflow. A client starts or joins what is missing or
        stale; whoever has no key (None) only looks, as the workflow's policy for them says.

        Raises NotFound, NotAuthentic, Invalid, and what `submit` raises where there is no older result to answer with.
        """
        workflow = self._ports.workflows.get(name)
        if workflow is None:
            raise NotFound(f"there is no workflow {name} here")
        if client is None and workflow.anonymous is Anonymous.NOTHING:
            raise NotAuthentic("this needs a valid API key")
        accepted = workflow.check(params)
        key = workflow.dedup_key(accepted)
        if key is None or workflow.file is not None:
            raise Invalid(f"each job of {workflow.name} is one of its own: hand it in")
        standing = await self._ports.search.standing(key)
        outcome = await self._outcome(workflow, accepted, standing)
        wanted = client is not None and not (outcome.fresh or outcome.making or outcome.again_at)
        return await self._begun(outcome, client, workflow, params) if client and wanted else outcome

    async def _outcome(self, workflow: Workflow, accepted: Mapping[str, Json], standing: Standing) -> Outcome:
        now, made, log = self._ports.clock(), standing.success, self._ports.log
        fresh_for = workflow.fresh_for or timedelta()
        newer = standing.failure and (made is None or standing.failure.at > made.at)
        failed = await log.get(standing.failure.job_id) if standing.failure and newer else None
        making = await log.get(standing.unfinished) if standing.unfinished else None
        again_at = failed.completed_at + self._pause if failed and failed.completed_at else None
        return Outcome(
            params=accepted,
            at=now,
            fresh_for=fresh_for,
            made=made,
            fresh=made is not None and now < made.at + fresh_for,
            making=making,
            joined=making is not None,
            failed=failed,
            again_at=again_at if again_at and now < again_at else None,
        )

    async def _begun(self, outcome: Outcome, client: str, workflow: Workflow, params: Mapping[str, Json]) -> Outcome:
        try:
            submitted = await self._tasks.submit(client, _parts(workflow.name, params), None)
        except Unavailable:
            if outcome.made is None:
                raise
            return outcome  # an old result is better than none
        job = submitted.job
        if job.status is JobStatus.SUCCESS and job.completed_at:  # made by somebody else since we looked
            mark = Mark(job_id=job.job_id, version=job.version, at=job.completed_at)
            return replace(outcome, made=mark, fresh=True, failed=None)
        return replace(outcome, making=job, joined=submitted.joined)


async def _parts(workflow: str, params: Mapping[str, Json]) -> AsyncIterator[ParamPart | FilePart]:
    yield ParamPart("workflow", workflow)
    for name, value in params.items():
        yield ParamPart(name, value)
