"""Job log, agenda, search and notice box in the process's memory: the same promises, but for surviving the process."""

from __future__ import annotations

import base64
import binascii
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from app.domain.audit import stored
from app.domain.errors import DuplicateJob, FieldProblem, Invalid, JobNotFound, OverQuota, StaleJob, SubjectFull
from app.domain.lifecycle import Noted
from app.domain.models import AuditEvent, Job, JobId, JobResult, JobStatus, Notice, first_id
from app.domain.protocols import (
    ANY_TIME,
    LOOKED_THROUGH,
    Between,
    JobCounts,
    JobPage,
    Mark,
    Standing,
    StepOutput,
)
from app.domain.quotas import Allowance, Quota, Quotas, Usage
from app.domain.verification import StoredHistory


def local_time() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class MemoryJobs:
    """What the adapters share. `clock` stands for the database's."""

    clock: Callable[[], datetime] = local_time
    jobs: dict[JobId, Job] = field(default_factory=dict)
    lines: dict[JobId, list[AuditEvent]] = field(default_factory=dict)
    notices: dict[tuple[JobId, int], Notice] = field(default_factory=dict)
    outputs: dict[JobId, dict[int, StepOutput]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


def used(memory: MemoryJobs, client: str, quotas: Quotas, at: datetime) -> Usage:
    """What this client has used of its quotas."""
    with memory.lock:
        mine = [job for job in memory.jobs.values() if job.client == client]

    def within(quota: Quota | None) -> list[Job]:
        return [job for job in mine if job.created_at > quota.since(at)] if quota else []

    return Usage(
        jobs=len(within(quotas.jobs)),
        volume=sum(job.file.size for job in within(quotas.volume) if job.file),
        unfinished=sum(not job.status.ended for job in mine) if quotas.unfinished else 0,
    )


class MemoryJobLogStore:
    def __init__(self, memory: MemoryJobs, *, keep_notices: bool) -> None:
        self._memory = memory
        self._keep_notices = keep_notices

    async def add(
        self, job: Job, line: AuditEvent, made_since: datetime | None = None, within: Allowance | None = None
    ) -> None:
        with self._memory.lock:
            held = self._memory.jobs.values()
            clashes = [(*clash, one.job_id) for one in held if (clash := _clash(one, job, made_since))]
            if clashes:
                _, words, holder = min(clashes)
                raise DuplicateJob(words, holder)
            size = job.file.size if job.file else 0
            if within and within.quotas.exceeded(used(self._memory, job.client, within.quotas, within.at), size):
                raise OverQuota("the client's quota is used up")
            self._memory.jobs[job.job_id] = _in_thousandths(job)
            self._memory.lines[job.job_id] = [line]

    async def record(self, job: Job, line: AuditEvent, places: int | None = None) -> None:
        with self._memory.lock:
            stored = self._memory.jobs.get(job.job_id)
            if (
                places is not None
                and stored
                and stored.version == job.version - 1
                and not _room(self._memory, job, places)
            ):
                raise SubjectFull("other jobs about the same are under way or older")
            self._replace(_in_thousandths(job), line)
            if self._keep_notices and line.after.ended and line.type != Noted.__name__:
                notice = Notice(job_id=job.job_id, version=line.version, due_at=line.at, tries=0)
                self._memory.notices[job.job_id, line.version] = notice

    async def erase(self, job: Job, line: AuditEvent) -> None:
        with self._memory.lock:
            self._replace(_erased(job), line)
            self._memory.outputs.pop(job.job_id, None)
            lines = self._memory.lines[job.job_id]
            self._memory.lines[job.job_id] = [replace(one, detail=None) for one in lines]

    def _replace(self, job: Job, line: AuditEvent) -> None:
        stored = self._memory.jobs.get(job.job_id)
        if stored is None:
            raise JobNotFound(f"there is no job {job.job_id}")
        if stored.version != job.version - 1:
            raise StaleJob(f"version {job.version} does not follow the stored one")
        self._memory.jobs[job.job_id] = job
        self._memory.lines[job.job_id].append(line)

    async def get(self, job_id: JobId) -> Job:
        with self._memory.lock:
            job = self._memory.jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"there is no job {job_id}")
        return job

    async def history(self, job_id: JobId, after: int = 0) -> list[AuditEvent]:
        await self.get(job_id)
        with self._memory.lock:
            return [line for line in self._memory.lines[job_id] if line.version > after]

    async def walk(
        self, job_id: JobId | None = None, *, after: JobId | None = None, to: JobId | None = None
    ) -> AsyncIterator[StoredHistory]:
        with self._memory.lock:
            known = sorted(self._memory.jobs.keys() | self._memory.lines.keys())
        known = [one for one in known if (after is None or one > after) and (to is None or one <= to)]
        for one in known if job_id is None else {job_id} & set(known):
            with self._memory.lock:
                found = self._memory.jobs.get(one), [stored(line) for line in self._memory.lines.get(one, ())]
            yield StoredHistory(one, *found, ())


def _room(memory: MemoryJobs, job: Job, places: int) -> bool:
    """Whether fewer jobs than that of its workflow and subject were started before or are older."""
    line = [one for one in memory.jobs.values() if (one.workflow, one.subject) == (job.workflow, job.subject)]
    ahead = [one for one in line if one.job_id != job.job_id and not one.status.ended]
    return sum(one.attempt > 0 or one.job_id < job.job_id for one in ahead) < places


def _clash(held: Job, job: Job, made_since: datetime | None) -> tuple[int, str] | None:
    """What the one holds that the other wants, and its place in the order in which it is told."""
    if held.job_id == job.job_id:
        return 0, "this id is taken"
    if job.idempotency_key and (held.client, held.idempotency_key) == (job.client, job.idempotency_key):
        return 1, "the idempotency key is taken"
    same = job.dedup_key is not None and held.dedup_key == job.dedup_key
    if (
        same
        and made_since
        and held.status is JobStatus.SUCCESS
        and held.completed_at
        and held.completed_at > made_since
    ):
        return 2, "the outcome has been made"
    if held.status.ended:
        return None
    if same:
        return 2, "an unfinished job does the same"
    if job.retry_of and held.retry_of == job.retry_of:
        return 3, "an unfinished job is a retry of the same"
    return None


def _in_thousandths(job: Job) -> Job:
    """The chain holds progress in thousandths, so that is what comes back from a database."""
    fraction = job.progress.fraction
    if fraction is None:
        return job
    return replace(job, progress=replace(job.progress, fraction=round(fraction * 1000) / 1000))


def _erased(job: Job) -> Job:
    return replace(
        _in_thousandths(job),
        client="",
        file=replace(job.file, filename="", sha256="") if job.file else None,
        params={},
        subject=None,
        dedup_key=None,
        idempotency_key=None,
        fingerprint=None,
        progress=replace(_in_thousandths(job).progress, message=None),
        result=JobResult(),
        error=replace(job.error, detail="") if job.error else None,
        salt=None,
    )


class MemoryJobAgenda:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def due(self, at: datetime, limit: int, workflows: Collection[str]) -> list[Job]:
        held = (JobStatus.PROCESSING, JobStatus.WAITING)
        return self._longest_due(at, limit, lambda job: job.status in held and job.workflow in workflows)

    async def startable(
        self,
        at: datetime,
        limit: int,
        workflows: Collection[str],
        *,
        new_before: datetime | None,
        without: Collection[JobId] = (),
        places: Mapping[str, int] | None = None,
    ) -> list[Job]:
        def wanted(job: Job) -> bool:
            if job.status is not JobStatus.QUEUED or job.workflow not in workflows or job.job_id in without:
                return False
            if job.attempt > 0:
                return True
            if new_before is None or job.created_at >= new_before:
                return False
            return job.subject is None or _room(self._memory, job, (places or {}).get(job.workflow, 1))

        return self._longest_due(at, limit, wanted)

    def _longest_due(self, at: datetime, limit: int, wanted: Callable[[Job], bool]) -> list[Job]:
        with self._memory.lock:
            due = [(job.due_at, job) for job in self._memory.jobs.values() if job.due_at and wanted(job)]
        ready = sorted((when, job.job_id, job) for when, job in due if when <= at)
        return [job for _, _, job in ready[:limit]]

    async def erasable(
        self, ended_before: datetime, limit: int, *, only: str | None = None, without: Collection[str] = ()
    ) -> list[Job]:
        with self._memory.lock:
            ended = [(job.completed_at, job) for job in self._memory.jobs.values() if job.completed_at and job.salt]
        found = sorted(
            (at, job.job_id, job)
            for at, job in ended
            if at < ended_before and job.workflow not in without and only in (None, job.workflow)
        )
        return [job for _, _, job in found[:limit]]

    async def renew(self, attempts: Mapping[JobId, int], until: datetime) -> set[JobId]:
        held = set()
        with self._memory.lock:
            for job_id, attempt in attempts.items():
                job = self._memory.jobs.get(job_id)
                if job and job.status is JobStatus.PROCESSING and job.attempt == attempt:
                    self._memory.jobs[job_id] = replace(job, due_at=until)
                    held.add(job_id)
        return held

    async def now(self) -> datetime:
        return self._memory.clock()


class MemoryJobSearch:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

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
        before = None if cursor is None else _read_cursor(cursor)
        jobs = [
            job
            for job in sorted(self._jobs(), key=lambda job: job.job_id, reverse=True)
            if (before is None or job.job_id < before)
            and status in (None, job.status)
            and workflow in (None, job.workflow)
            and _is_between(job, handed_in)
        ]
        named = [job for job in jobs if text and str(job.job_id).startswith(text.lower())]
        if text and not named:
            looked, left = jobs[:LOOKED_THROUGH], jobs[LOOKED_THROUGH:]
            jobs = [job for job in looked if text.lower() in _searched(job)]
            if left and len(jobs) <= limit:
                return JobPage(jobs=jobs, next=_cursor(looked[-1].job_id))
        jobs = named or jobs
        more = len(jobs) > limit
        return JobPage(jobs=jobs[:limit], next=_cursor(jobs[limit - 1].job_id) if more else None)

    async def counts(self, overdue_before: Mapping[str, datetime]) -> JobCounts:
        jobs = self._jobs()
        due = [(job.due_at, job.status) for job in jobs if job.due_at]
        return JobCounts(
            by_workflow=dict(Counter((job.workflow, job.status) for job in jobs)),
            oldest_queued_at=min((at for at, status in due if status is JobStatus.QUEUED), default=None),
            oldest_due_at=min((at for at, _ in due), default=None),
            overdue=sum(_is_overdue(job, overdue_before.get(job.workflow)) for job in jobs),
        )

    async def versions(self, job_ids: Collection[JobId]) -> dict[JobId, int]:
        wanted = set(job_ids)
        return {job.job_id: job.version for job in self._jobs() if job.job_id in wanted}

    async def standing(self, dedup_key: str) -> Standing:
        jobs = [job for job in self._jobs() if job.dedup_key == dedup_key]

        def newest(status: JobStatus) -> Mark | None:
            ended = [(job.completed_at, job) for job in jobs if job.status is status and job.completed_at]
            at, job = max(ended, key=lambda one: one[0], default=(None, None))
            return Mark(job_id=job.job_id, version=job.version, at=at) if job and at else None

        unfinished = next((job.job_id for job in jobs if not job.status.ended), None)
        return Standing(success=newest(JobStatus.SUCCESS), failure=newest(JobStatus.FAILURE), unfinished=unfinished)

    async def removable(self, ended_before: datetime, limit: int) -> list[Job]:
        ended = sorted(
            (job.completed_at, job.job_id, job)
            for job in self._jobs()
            if job.completed_at and job.completed_at < ended_before and job.file and not job.file_removed_at
        )
        return [job for _, _, job in ended[:limit]]

    def _jobs(self) -> list[Job]:
        with self._memory.lock:
            return list(self._memory.jobs.values())


def _is_between(job: Job, times: Between) -> bool:
    since, before = times.since, times.before
    return (since is None or job.job_id >= first_id(since)) and (before is None or job.job_id < first_id(before))


def _searched(job: Job) -> str:
    words = (
        job.file.filename if job.file else None,
        job.subject,
        job.execution_id,
        job.result.message,
        job.error.detail if job.error else None,
    )
    return "\n".join(filter(None, words)).lower()


def _is_overdue(job: Job, before: datetime | None) -> bool:
    if before is None or job.delivered_at is None:
        return False
    return job.status is JobStatus.WAITING and job.delivered_at <= before


def _cursor(job_id: JobId) -> str:
    return base64.urlsafe_b64encode(job_id.bytes).rstrip(b"=").decode()


def _read_cursor(cursor: str) -> UUID:
    try:
        uuid = UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
        if _cursor(JobId(uuid)) == cursor:
            return uuid
    except (ValueError, binascii.Error):
        pass
    problem = FieldProblem("cursor", "is not one that an earlier page gave")
    raise Invalid("the cursor is not one of ours", [problem]) from None


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

    async def done(self, notice: Notice) -> None:
        with self._memory.lock:
            self._memory.notices.pop((notice.job_id, notice.version), None)
