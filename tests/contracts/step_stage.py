"""Step runners on memory adapters below a real TaskService, and steps that say what was done to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.domain.models import Job, JobId, Json
from app.domain.protocols import StepOutput
from app.domain.workflow import Step, Workflow
from app.infrastructure.memory_step_store import MemoryStepStore
from app.infrastructure.off_loop import OffLoop
from app.infrastructure.runner_steps import StepPorts, StepRunner
from app.services.changes import Changes
from tests.services.conftest import Bench, workflow

NAME = "n8n_notion"  # the workflow that a submission means when it names none
MOMENT = timedelta(milliseconds=5)


def step_of(run: Callable[..., Any], **changes: Any) -> Step:
    known: dict[str, Any] = {"name": run.__name__, "title": run.__name__.capitalize(), "run": run}
    return Step(**(known | changes))


@dataclass
class StepStage:
    """A bench whose jobs go through these steps."""

    steps: Sequence[Step]
    tools: Mapping[Any, object] = field(default_factory=dict)
    pauses: tuple[timedelta, ...] = (MOMENT, MOMENT)

    def __post_init__(self) -> None:
        self.workflow: Workflow = workflow(NAME, steps=tuple(self.steps))
        self.bench = Bench(self.workflow)
        self.store = MemoryStepStore(self.bench.jobs)
        self.bench.ports.runners[NAME] = self.runner()  # type: ignore[index]

    def runner(self) -> StepRunner:
        bench = self.bench
        ports = StepPorts(
            log=bench.log,
            steps=self.store,
            feed=bench.feed,
            files=bench.files,
            record=Changes(bench.log, bench.feed, bench.clock, bench.workflows).apply,
            off_loop=OffLoop(1),
        )
        return StepRunner(self.workflow, self.tools, ports, self.pauses)

    async def job(self, content: bytes = b"bytes", **params: Json) -> JobId:
        return (await self.bench.submit(content, **params)).job.job_id

    async def ran(self, content: bytes = b"bytes", **params: Json) -> Job:
        """A job that was handed in and run once."""
        job_id = await self.job(content, **params)
        await self.bench.tasks.run(job_id)
        return await self.bench.get(job_id)

    async def kept(self, job: Job) -> list[StepOutput]:
        return await self.store.kept(job.job_id)
