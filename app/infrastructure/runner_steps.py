"""Does a local job step by step, and keeps what each step made: after a crash it goes on with the step it was in."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import TypeVar

from app.domain import audit
from app.domain.errors import CallslipError, DeliveryTrouble, Race, StaleAttempt, ToolTrouble, Unavailable
from app.domain.lifecycle import Completed, Event, Failed, Progressed, TroubleKind
from app.domain.models import Job, JobError, JobId, JobResult, JobStatus, Json, Progress
from app.domain.protocols import FileStore, JobFeed, JobLogStore, StepOutput, StepStore
from app.domain.workflow import Step, Workflow
from app.infrastructure.off_loop import OffLoop
from app.infrastructure.step_tools import Tools, tools_of
from app.infrastructure.step_work import StepWork

logger = logging.getLogger(__name__)

T = TypeVar("T")
TRANSIENT = (ToolTrouble, Unavailable, OSError)  # a TimeoutError is an OSError
DATABASE_PAUSE = 0.2
LISTEN_FOR = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(seconds=30)  # who asks for a longer one is left to the job's schedule
LARGEST_OUTPUT = 8 * 1024**2
LONGEST_WORDS = 500
TELL_EVERY = 1.0  # seconds between two audit lines from inside a step


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPorts:
    """What the step runner works with. `record` applies an event to the stored job, fenced by its attempt."""

    log: JobLogStore
    steps: StepStore
    feed: JobFeed
    files: FileStore
    record: Callable[[JobId, Event], Awaitable[Job]]
    off_loop: OffLoop


class StepRunner:
    """Runs the jobs of one local workflow. `pauses` stand between the tries of one step; after the last the job is
    tried again by its schedule. Raises Misconfigured where a step asks for what `tools` does not have."""

    def __init__(self, workflow: Workflow, tools: Tools, ports: StepPorts, pauses: tuple[timedelta, ...]) -> None:
        self._workflow, self._ports, self._pauses = workflow, ports, pauses
        self._tools = tools_of(workflow, tools)

    async def run(self, job: Job) -> Event:
        run = _Run(self._ports, self._workflow, job)
        try:
            async with run.while_it_is_ours():
                await run.remember()
                for number, step in run.left():
                    await run.tell(number, run.begins_at(number), step.title)
                    await run.keep(number, step, *await self._tried(run, number, step))
        except _Permanent as failure:
            return Failed(attempt=job.attempt, error=JobError(type="step_failed", detail=str(failure)))
        return Completed(attempt=job.attempt, result=run.result())

    async def ask(self, job: Job) -> Event | None:  # noqa: ARG002 - there is no far side
        return None

    async def stop(self, job: Job) -> None:
        """The feed has told the worker that has it."""

    async def _tried(self, run: _Run, number: int, step: Step) -> tuple[StepWork, Json, float]:
        work, began = run.work(number, step), time.monotonic()
        for pause in (*self._pauses, None):
            work.begin(step.soft_limit)
            try:
                async with asyncio.timeout(step.hard_limit.total_seconds()):
                    output = await step.run(work, **self._tools[step.name])
                return work, output, time.monotonic() - began
            except TRANSIENT as error:
                asked = getattr(error, "retry_after", None) or timedelta()
                if pause is None or asked > LONGEST_PAUSE:
                    words = f"{_named(number, step)}: {_words(error)}"
                    raise DeliveryTrouble(TroubleKind.STEP, words, asked or None) from None
                await asyncio.sleep(max(pause, asked).total_seconds())
            except Race:
                raise
            except CallslipError as error:
                raise _Permanent(f"{_named(number, step)}: {error}") from None
            except Exception as error:  # noqa: BLE001 - whatever a step may raise: its message may quote what was handed in
                where = "".join(traceback.format_tb(error.__traceback__))
                logger.error("step %s ended with %s\n%s", step.name, type(error).__name__, where)  # noqa: TRY400
                raise _Permanent(f"{_named(number, step)}: it ended with {type(error).__name__}") from None
        raise AssertionError("the last try returns or raises")


class _Permanent(Exception):
    """A step that need not be tried again, in words."""


class _Run:
    """One attempt at one job."""

    def __init__(self, ports: StepPorts, workflow: Workflow, job: Job) -> None:
        self._ports, self._steps, self._job = ports, workflow.steps, job
        self._outputs: dict[str, Json] = {}
        whole = sum(step.weight for step in self._steps)
        self._fractions = [0.0, *(done / whole for done in accumulate(step.weight for step in self._steps))]
        self._furthest = job.progress.fraction or 0.0
        self._told = 0.0

    async def remember(self) -> None:
        """What the finished steps made, in this attempt or an earlier one."""
        kept = await _patiently(lambda: self._ports.steps.kept(self._job.job_id))
        self._outputs = {done.name: done.output for done in kept}

    def left(self) -> list[tuple[int, Step]]:
        """The steps to be run, with their numbers."""
        return [(number, step) for number, step in enumerate(self._steps, 1) if step.name not in self._outputs]

    def begins_at(self, number: int) -> float:
        return self._fractions[number - 1]

    def work(self, number: int, step: Step) -> StepWork:
        async def tell(fraction: float, message: str | None) -> None:
            if time.monotonic() - self._told < TELL_EVERY:
                return
            begin, end = self._fractions[number - 1 : number + 1]
            await self.tell(number, begin + (end - begin) * fraction, message or step.title)

        ports = self._ports
        return StepWork(self._job, self._outputs, files=ports.files, off_loop=ports.off_loop, tell=tell)

    async def tell(self, number: int, fraction: float, message: str, **words: Json) -> None:
        """One audit line. Progress never goes back, also where a step is run again."""
        self._told = time.monotonic()
        self._furthest = max(self._furthest, fraction)
        progress = Progress(
            fraction=self._furthest, step=number, steps=len(self._steps), message=message[:LONGEST_WORDS]
        )
        event = Progressed(attempt=self._job.attempt, progress=progress, due_in=timedelta(), words=words)
        await _patiently(lambda: self._ports.record(self._job.job_id, event))

    async def keep(self, number: int, step: Step, work: StepWork, output: Json, seconds: float) -> None:
        """The step is finished: first what it made, then the line that says so."""
        if problem := _unfit(output):
            raise _Permanent(f"{_named(number, step)}: {problem}")
        took = round(seconds, 3)
        done = StepOutput(step=number, name=step.name, output=output, seconds=took, usage=work.usage)
        await _patiently(lambda: self._ports.steps.keep(self._job.job_id, self._job.attempt, done))
        self._outputs[step.name] = output
        usage = work.usage
        used: dict[str, Json] = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out, "cost": usage.cost}
        spent = {name: value for name, value in used.items() if value}
        await self.tell(number, self._fractions[number], f"{step.title}: done", seconds=took, **spent)

    def result(self) -> JobResult:
        """What the last step made: `{"message": words, "data": anything}`, or anything else as the data."""
        output = self._outputs[self._steps[-1].name]
        if isinstance(output, dict) and output.keys() <= {"message", "data"}:
            message, data = output.get("message"), output.get("data")
            if message is None or isinstance(message, str):
                return JobResult(message=message, data=data)
        return JobResult(data=output)

    @asynccontextmanager
    async def while_it_is_ours(self) -> AsyncIterator[None]:
        """Ends what runs inside with StaleAttempt as soon as the job is cancelled, or somebody else's."""
        me, gone = asyncio.current_task(), asyncio.Event()

        async def listen() -> None:
            async with self._ports.feed.watch(self._job.job_id) as ear:
                while await self._is_ours():
                    await ear.wait(LISTEN_FOR)
            gone.set()
            if me is not None:
                me.cancel()

        listening = asyncio.create_task(listen())
        try:
            yield
        except asyncio.CancelledError:
            if not gone.is_set():
                raise
            raise StaleAttempt("the job was taken away") from None
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _is_ours(self) -> bool:
        try:
            now = await self._ports.log.get(self._job.job_id)
        except Unavailable:
            return True
        return now.status is JobStatus.PROCESSING and now.attempt == self._job.attempt


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """A database that is away is waited for: the lease goes on meanwhile, or ends the attempt."""
    while True:
        try:
            return await work()
        except Unavailable:
            await asyncio.sleep(DATABASE_PAUSE)


def _named(number: int, step: Step) -> str:
    return f"step {number} ({step.title})"


def _words(error: Exception) -> str:
    if isinstance(error, CallslipError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it did not come to its end in time"
    return getattr(error, "strerror", None) or type(error).__name__


def _unfit(output: Json) -> str | None:
    try:
        size = len(audit.canonical(output))
    except (TypeError, ValueError):
        return "what it returned is not JSON"
    return None if size <= LARGEST_OUTPUT else f"what it returned is larger than {LARGEST_OUTPUT} bytes"
