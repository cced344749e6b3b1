"""One job from upload to result: submit, run, callback, cancel, retry, erase, sweep."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.core.metrics import ATTEMPTS, CALLBACK_AGE
from app.domain import audit, lifecycle
from app.domain.chance import chance
from app.domain.errors import (
    DeliveryTrouble,
    DiskFull,
    DuplicateJob,
    FieldProblem,
    FileGone,
    IdempotencyKeyReused,
    IllegalTransition,
    JobHasEnded,
    JobNotRetryable,
    OverQuota,
    Race,
    StaleAttempt,
    StaleJob,
    SubjectFull,
    Unavailable,
)
from app.domain.lifecycle import Cancelled, Delivered, Event, Noted, NoteKind, Periods, Postponed, Started, TroubleKind
from app.domain.models import FilePart, Job, JobId, JobStatus, Json, ParamPart, new_job_id
from app.domain.protocols import FileStore, JobAgenda, JobFeed, JobLogStore, JobQueue, JobSearch, Runner
from app.domain.quotas import Margin
from app.domain.workflow import Workflow
from app.services.callbacks import Answer, Callback, Reading, read_callback
from app.services.changes import Changes
from app.services.intake import Intake
from app.services.leases import Hold, LeaseKeeper
from app.services.quotas import Admission, ClientQuotas
from app.services.slots import NoRoom, Slots

__all__ = ["Answer", "Callback", "Submitted", "TaskService"]

SWEEP_BATCH = 200
REPORT_RETRY = timedelta(milliseconds=200)
LAST_WORDS = timedelta(seconds=5)
INQUIRIES = 4  # questions to far sides, and requests to stop, that one process has under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job that answers a submission; `replayed` when this very submission was answered with it before, `joined` when
    it was begun for somebody who wants the same. `margins`: what is left of the client's quotas."""

    job: Job
    replayed: bool = False
    joined: bool = False
    margins: tuple[Margin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the service works with."""

    log: JobLogStore
    agenda: JobAgenda
    search: JobSearch
    queue: JobQueue
    feed: JobFeed
    files: FileStore
    workflows: Mapping[str, Workflow]
    runners: Mapping[str, Runner]
    clock: Callable[[], datetime]


class TaskService:
    """The use cases. Every change goes one way: read, `advance`, `record`; when somebody was faster, again.

    `max_size` bounds any file in bytes, `quotas` what one client may use.
    """

    def __init__(self, ports: Ports, *, leases: LeaseKeeper, slots: Slots, max_size: int, quotas: ClientQuotas) -> None:
        self._ports = ports
        self._log, self._clock = ports.log, ports.clock
        self._changes = Changes(ports.log, ports.feed, ports.clock, ports.workflows)
        self._leases, self._slots = leases, slots
        self._max_size, self._quotas = max_size, quotas
        self._background: set[asyncio.Task[None]] = set()
        self._inquiries = asyncio.Semaphore(INQUIRIES)

    async def submit(
        self, client: str, parts: AsyncIterator[ParamPart | FilePart], idempotency_key: str | None, announced: int = 0
    ) -> Submitted:
        """Makes a durable job of what is handed in. When this returns, the job survives whatever dies next.

        Whoever asks for what an unfinished job is making joins that job, and gets the job that has made it where that
        is still fresh; the same submission again (by its key) is answered with its own. The parameter `workflow`
        chooses the workflow. Raises Malformed, TooLarge, UnsupportedMediaType, Invalid, IdempotencyKeyReused,
        OverQuota, DiskFull, StoreUnavailable; nothing is kept then.
        """
        admission = await self._quotas.admit(client, announced, idempotency_key)
        now = self._clock()
        intake = Intake(new_job_id(now), self._ports.files, self._ports.workflows, self._max_size)
        workflow = await intake.receive(admission.metered(parts))
        draft = Job(
            job_id=intake.job_id,
            client=client,
            workflow=workflow.name,
            file=intake.file,
            params=intake.params,
            subject=workflow.subject_of(intake.params),
            dedup_key=workflow.dedup_key(intake.params, intake.file.sha256 if intake.file else None),
            idempotency_key=idempotency_key,
            fingerprint=_fingerprint(workflow.name, intake),
            created_at=now,
            due_at=now,
            salt=chance(16).hex(),
        )
        return await self._add(draft, admission)

    async def retry(self, client: str, job_id: JobId) -> Submitted:
        """A new job with the same file and parameters; while an earlier retry is unfinished, that one, and while
        somebody else's job is making the same, or has made it freshly, that one.

        Raises JobNotFound, JobNotRetryable, FileGone, OverQuota, StoreUnavailable.
        """
        old = await self._log.get(job_id)
        if old.status not in (JobStatus.FAILURE, JobStatus.CANCELLED):
            raise JobNotRetryable(f"the job is {old.status}; only failure and cancelled can be retried")
        if old.salt is None or old.file_removed_at is not None:
            raise FileGone("what was handed in is no longer kept")
        admission = await self._quotas.admit(client, old.file.size if old.file else 0)
        now = self._clock()
        draft = Job(
            job_id=new_job_id(now),
            client=client,
            workflow=old.workflow,
            file=old.file,
            params=old.params,
            subject=old.subject,
            dedup_key=old.dedup_key,
            created_at=now,
            due_at=now,
            retry_of=job_id,
            salt=chance(16).hex(),
        )
        if old.file is not None:
            await self._ports.files.link(draft.job_id, of=job_id)
        return await self._add(draft, admission)

    async def _add(self, draft: Job, admission: Admission) -> Submitted:
        job, line = lifecycle.accept(draft, draft.created_at)
        try:
            await self._log.add(job, line, self._made_since(job), admission.allowance(self._clock()))
        except DuplicateJob as taken:
            await self._ports.files.remove(draft.job_id)
            return await self._instead(draft, taken)
        except OverQuota:  # others of this client were faster
            await self._ports.files.remove(draft.job_id)
            raise await self._quotas.refusal(draft.client, draft.file.size if draft.file else 0) from None
        except DiskFull:
            await self._ports.files.remove(draft.job_id)
            raise  # any other failure leaves the outcome open: the file stays until the sweep finds that no row names it
        self._ports.queue.ring(job.job_id)
        return Submitted(job=job, margins=admission.margins(job))

    def _made_since(self, job: Job) -> datetime | None:
        """Since when a result must have been made to answer instead of the job; None where no older one does."""
        workflow = self._ports.workflows.get(job.workflow)
        fresh_for = workflow.fresh_for if workflow and job.dedup_key is not None else None
        return None if fresh_for is None else job.created_at - fresh_for

    async def _instead(self, draft: Job, taken: DuplicateJob) -> Submitted:
        job = await self._log.get(JobId(taken.job_id))
        if taken.fingerprint is not None and taken.fingerprint != draft.fingerprint:
            message = "this key was used for a job with other content"
            raise IdempotencyKeyReused(message, [FieldProblem("Idempotency-Key", message)])
        retried = draft.retry_of is not None and job.retry_of == draft.retry_of
        made_so = (job.client, job.idempotency_key) == (draft.client, draft.idempotency_key)
        replayed = retried or taken.fingerprint is not None
        return Submitted(job=job, replayed=replayed, joined=not (retried or (replayed and made_so)))

    async def run(self, job_id: JobId) -> str:
        """Runs a job that a doorbell or the sweep named, if it is still to be run; says in a word how that went.

        Raises JobNotFound and Unavailable. When cancelled, the job is left in doubt, not lost.
        """
        job = await self._log.get(job_id)
        if job.workflow not in self._ports.workflows:
            return "of an unknown workflow"
        try:
            alone = job.lost_leases >= lifecycle.MOST_LOST_LEASES - 1
            async with self._slots.hold(job.workflow, alone=alone) as free_slot:
                job = await self._changes.apply(job_id, Started(lease=self._periods(job).lease), job)
                async with self._leases.hold(job) as hold:
                    return await self._attempt(job, hold, free_slot)
        except NoRoom:
            return "left for later"
        except SubjectFull:
            return "in line behind others"
        except Race:
            return "taken"

    async def _attempt(self, job: Job, hold: Hold, free_slot: Callable[[], None]) -> str:
        try:
            try:
                event = await self._ports.runners[job.workflow].run(job)
            except DeliveryTrouble as trouble:
                event = self._after(job, trouble)
            except StaleAttempt:
                return "lost"
            free_slot()
            return await self._report(job, event)
        except asyncio.CancelledError:
            if hold.lost:
                return "lost"
            await asyncio.shield(self._report(job, self._broken_off(job)))
            raise

    def _broken_off(self, job: Job) -> Event:
        """What follows when the worker is stopped: steps go on where they were, a delivery is in doubt."""
        if self._ports.workflows[job.workflow].steps:
            words: dict[str, Json] = {"answer": "the worker was stopped; another goes on with the step it was in"}
            return Postponed(attempt=job.attempt, delay=timedelta(), words=words)
        doubt = DeliveryTrouble(TroubleKind.NO_ANSWER, "the worker was stopped in the middle of the delivery")
        return self._after(job, doubt)

    def _after(self, job: Job, trouble: DeliveryTrouble) -> Event:
        return lifecycle.after_trouble(job, trouble, self._periods(job), self._clock(), _jitter())

    def _periods(self, job: Job) -> Periods:
        workflow = self._ports.workflows.get(job.workflow)
        return workflow.periods if workflow else Periods()  # taken out of the configuration, yet it may still call back

    async def _report(self, job: Job, event: Event) -> str:
        """Records what became of an attempt; the lease goes on meanwhile, so a database that is away is waited for."""
        outcome = type(event).__name__
        while True:
            try:
                await self._changes.apply(job.job_id, event, job)
            except Unavailable:
                await asyncio.sleep(REPORT_RETRY.total_seconds())
                continue
            except Race:
                outcome = "late"
                await self._stop_cancelled(job.job_id, event)
            ATTEMPTS.labels(workflow=job.workflow, outcome=outcome).inc()
            return outcome

    async def _stop_cancelled(self, job_id: JobId, event: Event) -> None:
        job = await self._log.get(job_id)
        if job.status is JobStatus.CANCELLED and isinstance(event, Delivered) and event.execution_id:
            await self._stop(replace(job, execution_id=event.execution_id))

    async def _stop(self, job: Job) -> None:
        if runner := self._ports.runners.get(job.workflow):
            async with self._inquiries:
                await runner.stop(job)

    async def callback(self, job_id: JobId, callback: Callback) -> Answer:
        """Applies what the workflow reports. Authentic and well-formed is presumed; late, repeated or contradicting
        reports are noted as evidence and change nothing. Raises JobNotFound, StoreUnavailable."""
        while True:
            job = await self._log.get(job_id)
            reading = read_callback(job, callback, self._periods(job))
            try:
                return await self._apply(job, reading)
            except StaleJob:
                continue

    async def _apply(self, job: Job, reading: Reading) -> Answer:
        if reading.reason is None and job.delivered_at is not None:
            age = self._clock() - job.delivered_at
            CALLBACK_AGE.labels(workflow=job.workflow).observe(max(age.total_seconds(), 0))
        for event in reading.events:
            job = await self._changes.record(job, event)
        return Answer(applied=reading.reason is None, reason=reading.reason, job=job)

    async def cancel(self, job_id: JobId) -> Job:
        """Ends an unfinished job, and asks the far side to stop it. Raises JobNotFound, JobHasEnded."""
        try:
            job = await self._changes.apply(job_id, Cancelled())
        except IllegalTransition as error:
            raise JobHasEnded("the job has ended already") from error
        self._spawn(self._stop(job))
        return job

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def erase(self, job_id: JobId) -> Job:
        """Removes the bytes and everything personal; cancels the job first if it is unfinished. The chain stays whole.

        Raises JobNotFound, StoreUnavailable. Erasing twice is no error.
        """
        if not (await self._log.get(job_id)).status.ended:
            await self.cancel(job_id)
        await self._ports.files.remove(job_id)  # first: a crash in between leaves a job that can be erased again
        while True:
            job = await self._log.get(job_id)
            if job.salt is None:
                return job
            erased, line = lifecycle.advance(job, Noted(kind=NoteKind.ERASED), self._clock())
            try:
                await self._log.erase(erased, line)
            except StaleJob:
                continue
            self._ports.feed.tell(job_id)
            return await self._log.get(job_id)

    async def sweep(self, free: int, new_before: datetime | None, without: Collection[JobId] = ()) -> list[JobId]:
        """Deals with what is due: ends or requeues lost leases and overdue answers, and returns at most `free` jobs to
        be run now.

        `new_before`: queued jobs that no worker has had yet, for which a doorbell may be on its way, are returned
        only if they were created before it. Raises Unavailable.
        """
        now, known = self._clock(), self._ports.workflows.keys()
        due = await self._ports.agenda.due(now, SWEEP_BATCH, known)
        await asyncio.gather(*map(self._see_to, due))
        if free <= 0:
            return []
        room, crowded = self._slots.look()
        places = {name: workflow.subject_limit for name, workflow in self._ports.workflows.items()}
        found: list[JobId] = []
        # Doorbells behind those of a crowded workflow are not heard, so the others' jobs are looked for here.
        for names, before in (
            (known - set(crowded), now if crowded else new_before),
            (known & set(crowded), new_before),
        ):
            rooms = {name: room[name] for name in names if room[name] > 0}
            found += await self._ports.agenda.startable(
                now, free - len(found), rooms, new_before=before, without=without, places=places
            )
        return found

    def unseen(self, in_flight: int) -> int:
        """For how many jobs there is room here, whatever their workflow, beside the `in_flight` that `run` was given
        and has not ended. Any thread may ask."""
        return self._slots.unseen(in_flight)

    async def _see_to(self, job_id: JobId) -> None:
        await self._settle(await self._log.get(job_id))

    async def _settle(self, job: Job) -> None:
        event = lifecycle.due(job, self._periods(job), self._clock(), _jitter())
        moved_on = event and await self._settled(job, event)
        if moved_on and isinstance(event, Noted):  # by us: of all who sweep, one asks, and waits for nobody's answer
            self._spawn(self._ask(moved_on))

    async def _settled(self, job: Job, event: Event) -> Job | None:
        with suppress(Race):  # somebody else saw to it
            changed = await self._changes.record(job, event)
            ATTEMPTS.labels(workflow=job.workflow, outcome=f"swept {type(event).__name__}").inc()
            return changed
        return None

    async def _ask(self, job: Job) -> None:
        """What the far side says counts only for the job as it was asked about."""
        async with self._inquiries:
            answer = await self._ports.runners[job.workflow].ask(job)
        with suppress(Unavailable):  # the next look asks again
            if answer:
                await self._settled(job, answer)

    async def close(self) -> None:
        """Waits a little for what still runs in the background, then ends it."""
        if self._background:
            _, unfinished = await asyncio.wait(self._background, timeout=LAST_WORDS.total_seconds())
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        self._leases.close()


def _fingerprint(workflow: str, intake: Intake) -> str:
    content = {
        "workflow": workflow,
        "params": dict(intake.params),
        "sha256": intake.file.sha256 if intake.file else None,
    }
    return hashlib.sha256(audit.canonical(content)).hexdigest()


def _jitter() -> float:
    return random.uniform(-1, 1)  # noqa: S311 - spreads retries, guards nothing
