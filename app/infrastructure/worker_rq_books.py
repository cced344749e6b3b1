"""What RQ's own registries say about one of our workers, kept true in batches. Written against rq 3.0.0.

Nothing here reads a job's content or calls what stands in Redis: RQ's own clean-up of abandoned jobs would import and
run failure callbacks, so the clean-up here only removes.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError
from rq import worker_registration
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import current_timestamp, now
from rq.worker.base import BaseWorker, WorkerStatus

from app.domain.models import JobId, created_at
from app.infrastructure import doorbell_rq as doorbell

EXECUTION_TTL: Final = 20  # seconds without a heartbeat after which an execution counts as abandoned
WORKER_TTL: Final = 30
ABANDONED: Final = 20.0  # seconds in the intermediate list
TIDIED: Final = 500  # entries at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run ended: `error` is the class of what it raised, or None."""

    job_id: JobId
    error: str | None
    seconds: float


class RqBooks(BaseWorker):
    """One RQ worker as RQ sees it: its name, heartbeat, counters and executions. Belongs to one thread."""

    def __init__(self, client: Redis, queue_name: str) -> None:
        host, pid = socket.gethostname(), os.getpid()
        name = f"{host}.{pid}.{uuid4().hex[:8]}"
        super().__init__([queue_name], name, connection=client, serializer=JSONSerializer, prepare_for_work=False)
        self.hostname, self.pid = host, pid
        self.birth_date = self.last_heartbeat = now()
        self._queue: Queue = self.queues[0]
        self._taken: str = self._queue.intermediate_queue_key
        self._started = StartedJobRegistry(queue=self._queue)
        self._open: dict[JobId, tuple[Job, Execution]] = {}
        self._lingering: dict[bytes, float] = {}

    def _set_connection(self, connection: Redis) -> Redis:
        return connection  # rq would stretch the time-outs to minutes

    def take(self, limit: int, wait: float) -> list[bytes]:
        """Move up to `limit` ids to the intermediate list; while there is none, wait up to `wait` seconds for one."""
        key = self._queue.key
        queued = min(limit, self.connection.llen(key))
        if not queued:
            text = cast("bytes | None", self.connection.blmove(key, self._taken, wait))  # type: ignore[arg-type]  # fractions are allowed
            return [text] if text else []
        with self.connection.pipeline(transaction=False) as pipe:
            for _ in range(queued):
                pipe.lmove(key, self._taken)
            return [text for text in pipe.execute() if text]

    def read(self, texts: Sequence[bytes]) -> tuple[list[JobId | None], JobId | None]:
        """Which of these messages are ours, and the id that is now at the head of the queue."""
        with self.connection.pipeline(transaction=False) as pipe:
            for text in texts:
                pipe.hgetall(_job_key(text))
            pipe.lrange(self._queue.key, 0, doorbell.PEEKED - 1)
            *stored, waiting = pipe.execute(raise_on_error=False)
        found = [
            doorbell.accepted(text, fields) if isinstance(fields, dict) else None
            for text, fields in zip(texts, stored, strict=True)
        ]
        if isinstance(waiting, Exception):
            raise waiting
        return found, next((head for text in waiting if (head := doorbell.job_id(text))), None)

    def dismiss(self, texts: Sequence[bytes], *, forged: Sequence[bytes] = (), back: Sequence[bytes] = ()) -> None:
        """Take these ids off the intermediate list: `forged` ones with all they carry, `back` ones to the queue."""
        with self.connection.pipeline() as pipe:
            for text in (*texts, *forged, *back):
                pipe.lrem(self._taken, 1, text)  # type: ignore[arg-type]  # bytes are what Redis holds
            for text in forged:
                pipe.delete(_job_key(text))
            for text in reversed(back):
                pipe.lpush(self._queue.key, text)
            pipe.execute(raise_on_error=False)

    def write(self, begun: Iterable[JobId], ended: Iterable[Outcome]) -> None:
        """Book starts and ends in one transaction. What does not reach Redis is made good by `beat` or called again."""
        fresh = [self._enter(job_id) for job_id in begun]
        ending = [(self._open[one.job_id], one) for one in ended if one.job_id in self._open]
        still_open = len(self._open) - len(ending)
        with self.connection.pipeline() as pipe:
            for job, execution in fresh:
                self._assert(pipe, job, execution)
                pipe.lrem(self._taken, 1, job.id)
            for (job, execution), one in ending:
                self._close(pipe, job, execution, one)
            self._assert_worker(pipe, busy=still_open > 0)
            pipe.execute(raise_on_error=False)
        for _, one in ending:
            self._open.pop(one.job_id, None)

    def tally(self, outcome: Outcome) -> None:
        """Add a run to this worker's figures; Redis hears of them at the next `write`."""
        self.successful_job_count += outcome.error is None
        self.failed_job_count += outcome.error is not None
        self.total_working_time += outcome.seconds

    def forget(self, job_id: JobId) -> None:
        """Keep no more books on a job whose end could not be booked."""
        self._open.pop(job_id, None)

    def beat(self) -> None:
        """Say that worker and executions live, writing all of it again: after a FLUSHALL this is the registration."""
        with self.connection.pipeline() as pipe:
            pipe.sadd(Queue.redis_queues_keys, self._queue.key)
            worker_registration.register(self, pipe)
            for job, execution in self._open.values():
                self._assert(pipe, job, execution)
            self._assert_worker(pipe, busy=bool(self._open))
            pipe.execute(raise_on_error=False)

    def tidy(self) -> None:
        """Remove what killed workers left, and what is past its time."""
        for step in (
            FinishedJobRegistry(queue=self._queue).cleanup,
            FailedJobRegistry(queue=self._queue).cleanup,
            self._tidy_workers,
            self._tidy_started,
            self._tidy_taken,
        ):
            with suppress(ResponseError):  # a key of a wrong type spoils its own registry only
                step()

    def _tidy_workers(self) -> None:
        worker_registration.clean_worker_registry(self._queue)

    def _tidy_started(self) -> None:
        expired = self.connection.zrangebyscore(self._started.key, 0, current_timestamp(), start=0, num=TIDIED)
        with self.connection.pipeline() as pipe:
            for entry in cast("list[bytes]", expired):
                text, _, execution_id = entry.partition(b":")
                pipe.zrem(self._started.key, entry)
                pipe.delete(b"rq:execution:" + entry)
                pipe.zrem(ExecutionRegistry.key_template.encode().replace(b"{0}", text), execution_id)
                pipe.expire(_job_key(text), doorbell.KEPT)
            pipe.execute(raise_on_error=False)

    def _tidy_taken(self) -> None:
        at = time.monotonic()
        texts = cast("list[bytes]", self.connection.lrange(self._taken, 0, TIDIED - 1))
        self._lingering = {text: self._lingering.get(text, at) for text in texts}
        self.dismiss((), forged=[text for text, since in self._lingering.items() if at - since > ABANDONED])

    def _enter(self, job_id: JobId) -> tuple[Job, Execution]:
        job = Job(str(job_id), connection=self.connection, serializer=JSONSerializer)
        job.data = doorbell.data(job.id)
        job.origin, job.description, job.timeout = self._queue.name, doorbell.DESCRIPTION, doorbell.NO_TIMEOUT
        job.result_ttl = job.failure_ttl = doorbell.KEPT
        job.worker_name, job.started_at, job._status = self.name, now(), JobStatus.STARTED  # noqa: SLF001
        job.created_at = created_at(job_id) if job_id.version == 7 else job.started_at
        execution = Execution(uuid4().hex, job.id, self.connection, worker_name=self.name)
        self._open[job_id] = job, execution
        return job, execution

    def _assert(self, pipe: Pipeline, job: Job, execution: Execution) -> None:
        job.last_heartbeat = execution.last_heartbeat = now()
        job.save(pipeline=pipe, include_meta=False)
        pipe.persist(job.key)
        execution.save(EXECUTION_TTL, pipe)
        ExecutionRegistry(job.id, self.connection).add(execution, EXECUTION_TTL, pipe)
        self._started.add_execution(execution, pipe, EXECUTION_TTL)
        pipe.sadd(self.executions_key, execution.composite_key)

    def _close(self, pipe: Pipeline, job: Job, execution: Execution, outcome: Outcome) -> None:
        job.ended_at = now()
        told: dict[str, Any] = {
            "worker_name": self.name,
            "execution_id": execution.id,
            "execution_started_at": execution.created_at,
            "execution_ended_at": job.ended_at,
        }
        if outcome.error is None:
            job._handle_success(doorbell.KEPT, pipe, **told)  # noqa: SLF001  # what rq's own worker calls
            job.cleanup(doorbell.KEPT, pipeline=pipe, remove_from_queue=False)
        else:
            job.set_status(JobStatus.FAILED, pipeline=pipe)
            job._handle_failure(outcome.error, pipe, **told)  # noqa: SLF001
        execution.delete(job=job, pipeline=pipe)

    def _assert_worker(self, pipe: Pipeline, *, busy: bool) -> None:
        self.last_heartbeat = now()
        state = WorkerStatus.BUSY if busy else WorkerStatus.IDLE
        figures = {
            "state": state.value,
            "successful_job_count": self.successful_job_count,
            "failed_job_count": self.failed_job_count,
            "total_working_time": self.total_working_time,
        }
        pipe.hset(self.key, mapping=self.serialize() | figures)
        pipe.expire(self.key, WORKER_TTL)
        pipe.expire(self.executions_key, WORKER_TTL)


def _job_key(text: bytes) -> bytes:
    return Job.redis_job_namespace_prefix.encode() + text
