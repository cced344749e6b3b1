"""What the services need from the outside, each with its promises. Adapters repeat no docstring that stands here.

Every promise has a test of the same words under tests/contracts, run against every adapter. Every method may be called
from any event loop. A dependency that is away raises `Unavailable` (or a branch of it), never its driver's own error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from app.domain.lifecycle import Event
from app.domain.models import AuditEvent, FileUploadInfo, Job, JobId, JobStatus, Json, Notice
from app.domain.quotas import Allowance
from app.domain.tools import Usage
from app.domain.verification import StoredHistory


class JobLogStore(Protocol):
    """The durable truth: one row per job, and its append-only history."""

    async def add(
        self, job: Job, line: AuditEvent, made_since: datetime | None = None, within: Allowance | None = None
    ) -> None:
        """Stores a job's first version and its first audit line in one durable transaction.

        When this returns, both survive a power cut. Raises DuplicateJob, naming the holder, when the client's
        idempotency key is taken, when an unfinished job has the same dedup key or, with `made_since`, one of that key
        has succeeded since then, or when an unfinished job is a retry of the same job. Nothing of the new job is stored
        then; but an idempotency key whose submission is answered by the job of a dedup key is kept for that job, in the
        same transaction, until the job is erased: the key's holder is told in its stead from then on. OverQuota when
        the client's jobs and this one go beyond the allowance, however many processes add at once; nothing is stored
        then.
        """
        ...

    async def record(self, job: Job, line: AuditEvent, places: int | None = None) -> None:
        """Replaces version n-1 of the job by version n, and appends line n, in one durable transaction.

        Raises StaleJob when the stored version is not n-1 (the slower of two writers is told), JobNotFound when there
        is no such job. With `places`, SubjectFull when so many unfinished jobs of the same workflow and subject were
        started before or are older: however many processes try at once, no more are ever under way. Nothing is stored
        then. Where the job ends and the store was told to keep notices, one notice is stored in the same transaction.
        """
        ...

    async def erase(self, job: Job, line: AuditEvent) -> None:
        """As `record`, and removes the details of all the job's lines, the salt, and every personal column of its row."""
        ...

    async def get(self, job_id: JobId) -> Job:
        """The newest version, including what this process has just stored. Raises JobNotFound."""
        ...

    async def history(self, job_id: JobId, after: int = 0) -> list[AuditEvent]:
        """The lines with a version greater than `after`, in order; details are None once erased. Raises JobNotFound."""
        ...

    def walk(
        self, job_id: JobId | None = None, *, after: JobId | None = None, to: JobId | None = None
    ) -> AsyncIterator[StoredHistory]:
        """Every job (with an id greater than `after`, up to `to`), or one, as of one moment each, for verification:
        also rows without lines, lines without a row, and what cannot be read. Holds a bounded number of lines, and one
        job's more, in memory."""
        ...


class JobAgenda(Protocol):
    """When someone must look at which job."""

    async def due(self, at: datetime, limit: int, workflows: Collection[str]) -> list[JobId]:
        """At most `limit` processing or waiting jobs of these workflows with `due_at <= at`, the longest due first."""
        ...

    async def startable(
        self,
        at: datetime,
        limit: int,
        rooms: Mapping[str, int],
        *,
        new_before: datetime | None,
        without: Collection[JobId] = (),
        places: Mapping[str, int] | None = None,
    ) -> list[JobId]:
        """At most `limit` queued jobs with `due_at <= at`, the longest due first, none of `without`; of each workflow
        at most as many as `rooms` says, and of others none. Of those that were never started (attempt 0), for which a
        doorbell may be on its way, only the ones created before `new_before`; None leaves them all out. Of those with a
        subject, only the ones that `record` would let begin, with as many `places` for each subject as their workflow
        has (1 where nothing is said).
        """
        ...

    async def renew(self, attempts: Mapping[JobId, int], until: datetime) -> set[JobId]:
        """Moves `due_at` to `until` where the job is still processing in that attempt, without a new version.

        Returns the ids that are still held.
        """
        ...

    async def erasable(
        self, ended_before: datetime, limit: int, *, only: str | None = None, without: Collection[str] = ()
    ) -> list[Job]:
        """At most `limit` jobs that ended before this time and were not erased, the longest ended first: `only` of one
        workflow, or of all `without` some."""
        ...

    async def now(self) -> datetime:
        """The database's clock, zone-aware. All hosts on one database share it."""
        ...


class NoticeBox(Protocol):
    """Which ended jobs are still to be told. Notices come into being inside `JobLogStore.record`."""

    async def due(self, at: datetime, limit: int) -> list[Notice]:
        """Notices with `due_at <= at`, the longest due first."""
        ...

    async def take(self, notice: Notice, until: datetime) -> bool:
        """Moves the notice to `until` and counts a try, if nobody did so first; says whether it was us."""
        ...

    async def put_off(self, notice: Notice, until: datetime) -> None:
        """Moves a notice on that `take` gave us, and counts nothing. Of what somebody else took meanwhile, nothing."""
        ...

    async def done(self, notice: Notice) -> None:
        """Removes the notice. Removing it twice is no error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs, newest first, and the cursor of the next (None at the end)."""

    jobs: list[Job]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """Figures for people and monitors: jobs by (workflow, status), and since when the oldest queued one has been due."""

    by_workflow: Mapping[tuple[str, JobStatus], int]
    oldest_queued_at: datetime | None
    oldest_due_at: datetime | None
    overdue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One version of a job, and when the job ended."""

    job_id: JobId
    version: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with one outcome: its newest success and failure, and the job that is making it now."""

    success: Mark | None = None
    failure: Mark | None = None
    unfinished: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """From `since` up to, not including, `before`; None leaves an end open."""

    since: datetime | None = None
    before: datetime | None = None


ANY_TIME = Between()

# How many jobs `JobSearch.page` looks through for a text before it gives back what it has.
LOOKED_THROUGH = 5_000


class JobSearch(Protocol):
    """Looking at many jobs."""

    async def page(
        self,
        *,
        status: JobStatus | None = None,
        workflow: str | None = None,
        text: str = "",
        handed_in: Between = ANY_TIME,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        """Newest first by id; the cost does not grow with depth. Raises Invalid for a cursor that is not ours.

        `text` is looked for in the file's name, the subject, the words of result and error, and the execution id,
        letters A to Z in either case: in at most LOOKED_THROUGH jobs a page, so that a page may hold few jobs or none
        and still name a next one. Jobs whose id begins so are found wherever they are, and then nothing else is.
        """
        ...

    async def counts(self, overdue_before: Mapping[str, datetime]) -> JobCounts:
        """`overdue_before` says for each workflow up to which delivery time a waiting job is overdue."""
        ...

    async def versions(self, job_ids: Collection[JobId]) -> dict[JobId, int]:
        """The stored version of each of these jobs; jobs that do not exist are left out."""
        ...

    async def standing(self, dedup_key: str) -> Standing:
        """How it stands with the outcome that this key names. The cost does not grow with the number of jobs."""
        ...

    async def removable(self, ended_before: datetime, limit: int) -> list[Job]:
        """Jobs that ended before this time and still have their file, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfJobs:
    """The jobs that were handed in within one hour: how many there are by status, and how long some successes took."""

    at: datetime
    by_status: Mapping[JobStatus, int]
    durations: Sequence[timedelta]


class JobStatistics(Protocol):
    """Figures about many jobs, cheap however many there are."""

    async def durations(self, workflow: str, limit: int) -> list[timedelta]:
        """From handing in to the result: the newest `limit` successes of this workflow, the newest first."""
        ...

    async def hours(self, since: datetime, count: int, sample: int) -> list[HourOfJobs]:
        """`count` hours from `since` on, in order, empty ones too; of each the durations of its newest `sample`
        successes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """What the queue knows: message counts by registry name, and the names of its live workers."""

    registries: Mapping[str, int]
    workers: Sequence[str]


class JobQueue(Protocol):
    """The doorbell. It may lose, repeat or reorder; the row decides."""

    def ring(self, job_id: JobId) -> None:
        """Asks that a worker look at this job. Returns at once, never raises and never waits for a server."""
        ...

    async def head(self) -> JobId | None:
        """The id that is taken next, or None when nothing is queued. Raises Unavailable."""
        ...

    async def report(self) -> QueueReport:
        """Counts and workers, without side effects on the queue. Raises Unavailable."""
        ...


class Watch(Protocol):
    """One watcher's ear."""

    async def wait(self, patience: timedelta) -> bool:
        """True as soon as the job may have changed since the last call, False after `patience`. May wake for nothing."""
        ...


class JobFeed(Protocol):
    """Tells watchers in any process that a job may have changed."""

    def tell(self, job_id: JobId) -> None:
        """Hints that the job changed. Returns at once and never raises; the hint may be lost."""
        ...

    def watch(self, job_id: JobId) -> AbstractAsyncContextManager[Watch]:
        """An ear that hears every change, hint or no hint, within about a second."""
        ...


class StoredContent(Protocol):
    """An open stored file."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `stop`."""
        ...


class FileStore(Protocol):
    """The bytes that were handed in, one file per job, named by the job's id and nothing else."""

    async def save(self, job_id: JobId, filename: str, chunks: AsyncIterator[bytes], max_size: int) -> FileUploadInfo:
        """Takes the bytes as they come, in constant memory, and makes them durable: file and directory entry survive
        a power cut when this returns. `filename` is kept as data, cleaned by `app.domain.filenames`.

        Raises TooLarge as soon as more than `max_size` bytes came, Malformed for an empty file, DiskFull when there is
        no room, and whatever `chunks` raises. Nothing is left behind then.
        """
        ...

    async def link(self, job_id: JobId, of: JobId) -> None:
        """Gives `job_id` the same bytes as `of`, durably. Removing one keeps the other. Raises FileGone."""
        ...

    def open(self, job_id: JobId) -> AbstractAsyncContextManager[StoredContent]:
        """The stored bytes; a reader that is open survives a removal. Raises FileGone."""
        ...

    async def remove(self, job_id: JobId) -> None:
        """Removes the bytes. Removing what is not there is no error."""
        ...

    async def orphans(self, older_than: timedelta) -> list[JobId]:
        """Ids of stored files at least this old, for the caller to compare with the jobs; removes unfinished
        uploads of that age by itself."""
        ...

    async def check(self) -> int:
        """Free bytes. Raises Unavailable when the store cannot be written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """What a finished step made: the `step`-th (from 1), its JSON, and what it took."""

    step: int
    name: str
    output: Json
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)


class StepStore(Protocol):
    """What the finished steps of each job made. A finished step is never run again."""

    async def keep(self, job_id: JobId, attempt: int, done: StepOutput) -> None:
        """Stores it durably. Raises StaleAttempt when the job is not being processed in that attempt; nothing is
        stored then. What a step made first stays: keeping it again changes nothing."""
        ...

    async def kept(self, job_id: JobId) -> list[StepOutput]:
        """Of each finished step, in their order; nothing for a job that is unknown or was erased."""
        ...


class Runner(Protocol):
    """Does a running job."""

    async def run(self, job: Job) -> Event:
        """Does the job, or hands it over, and returns what happened. Raises DeliveryTrouble when the far side did not
        take it. May be cancelled at any await; what it sent stays sent."""
        ...

    async def ask(self, job: Job) -> Event | None:
        """How the far side says an overdue job stands: Failed, or Noted when it is still at it, or None when it
        cannot be asked. Never raises."""
        ...

    async def stop(self, job: Job) -> None:
        """Asks the far side to stop a cancelled job, if it can be asked. Never raises."""
        ...


class Notifier(Protocol):
    """Tells the operator's address that a job ended."""

    async def tell(self, job: Job, at: datetime) -> None:
        """Delivers one signed notice. Raises DeliveryTrouble."""
        ...
