"""The job log in the process's memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from app.domain.audit import stored
from app.domain.errors import DuplicateJob, JobNotFound, OverQuota, StaleJob, SubjectFull
from app.domain.lifecycle import Noted
from app.domain.models import AuditEvent, Job, JobId, JobResult, JobStatus, Notice
from app.domain.quotas import Allowance
from app.domain.verification import StoredHistory
from app.infrastructure.memory_jobs import MemoryJobs, room, used

KEY_TAKEN, SAME = 1, 2  # of the order in which it is told what is taken


class MemoryJobLogStore:
    def __init__(self, memory: MemoryJobs, *, keep_notices: bool) -> None:
        self._memory = memory
        self._keep_notices = keep_notices

    async def add(
        self, job: Job, line: AuditEvent, made_since: datetime | None = None, within: Allowance | None = None
    ) -> None:
        with self._memory.lock:
            if taken := self._taken(job, made_since):
                raise taken
            size = job.file.size if job.file else 0
            if within and within.quotas.exceeded(used(self._memory, job.client, within.quotas, within.at), size):
                raise OverQuota("the client's quota is used up")
            self._memory.jobs[job.job_id] = _in_thousandths(job)
            self._memory.lines[job.job_id] = [line]

    def _taken(self, job: Job, made_since: datetime | None) -> DuplicateJob | None:
        held, key = self._memory.jobs.values(), (job.client, job.idempotency_key or "")
        clashes = [(*clash, one.job_id) for one in held if (clash := _clash(one, job, made_since))]
        if joined := self._memory.joined.get(key):
            clashes.append((KEY_TAKEN, "the idempotency key is taken", joined[0]))
        if not clashes:
            return None
        order, words, holder = min(clashes)
        if order == KEY_TAKEN:
            return DuplicateJob(words, holder, joined[1] if joined else self._memory.jobs[holder].fingerprint)
        if order == SAME and job.idempotency_key:
            self._memory.joined[key] = holder, job.fingerprint
        return DuplicateJob(words, holder)

    async def record(self, job: Job, line: AuditEvent, places: int | None = None) -> None:
        with self._memory.lock:
            stored = self._memory.jobs.get(job.job_id)
            if (
                places is not None
                and stored
                and stored.version == job.version - 1
                and not room(self._memory, job, places)
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
            for key in [key for key, (holder, _) in self._memory.joined.items() if holder == job.job_id]:
                del self._memory.joined[key]
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


def _clash(held: Job, job: Job, made_since: datetime | None) -> tuple[int, str] | None:
    """What the one holds that the other wants, and its place in the order in which it is told."""
    if held.job_id == job.job_id:
        return 0, "this id is taken"
    if job.idempotency_key and (held.client, held.idempotency_key) == (job.client, job.idempotency_key):
        return KEY_TAKEN, "the idempotency key is taken"
    same = job.dedup_key is not None and held.dedup_key == job.dedup_key
    if (
        same
        and made_since
        and held.status is JobStatus.SUCCESS
        and held.completed_at
        and held.completed_at > made_since
    ):
        return SAME, "the outcome has been made"
    if held.status.ended:
        return None
    if same:
        return SAME, "an unfinished job does the same"
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
