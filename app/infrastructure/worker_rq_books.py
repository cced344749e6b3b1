"""What RQ's own registries say about one of our workers, kept true in batches. Written against rq 3.0.0.

Nothing here reads a job's content or calls what stands in Redis: RQ's own clean-up of abandoned jobs would import and
run failure callbacks, so the clean-up here only removes.
"""

from __future__ import annotations

import os
import socket
import time
import zlib
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError
from rq import worker_registration
from rq.executions import Execution, ExecutionRegistry
from rq.job import JobStatus
from rq.queue import Queue
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import current_timestamp, now, utcformat
from rq.worker.base import BaseWorker, WorkerStatus

from app.domain.models import JobId, created_at
from app.infrastructure import doorbell_rq as doorbell
from app.infrastructure import redis_batch

EXECUTION_TTL: Final = 20  # seconds without a heartbeat after which an execution counts as abandoned
KEYS_TTL: Final = 90  # of what only describes it; written anew with every `WHOLE`th beat
WHOLE: Final = 6
WORKER_TTL: Final = 30
ABANDONED: Final = 20.0  # seconds in the intermediate list
TIDIED: Final = 500  # entries at a time
UNBOOKED: Final = 1000


@dataclass(slots=True, kw_only=True)
class Run:
    """One job in flight; `rung` while its doorbell's own hash is known to be there."""

    job_id: JobId
    execution: Execution
    started_at: str
    rung: bool

    @property
    def job_key(self) -> bytes:
        return doorbell.key(self.execution.job_id.encode())


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
        self._finished = FinishedJobRegistry(queue=self._queue)
        self._failed = FailedJobRegistry(queue=self._queue)
        self._template = doorbell.template(self._queue)
        self._open: dict[JobId, Run] = {}
        self._begun: list[Run] = []
        self._ended: deque[tuple[Run, Outcome]] = deque(maxlen=UNBOOKED)
        self._lingering: dict[bytes, float] = {}
        self._beats = 0
        self._unsure = True  # whether Redis may lack something that it was told

    def _set_connection(self, connection: Redis) -> Redis:
        return connection  # rq would stretch the time-outs to minutes

    def take(self, limit: int, wait: float) -> list[bytes]:
        """Move up to `limit` ids to the intermediate list; while there is none, wait up to `wait` seconds."""
        key = self._queue.key
        queued = min(limit, self.connection.llen(key)) if limit > 1 or wait else limit
        if not queued:
            if not wait:
                return []
            text = cast("bytes | None", self.connection.blmove(key, self._taken, wait))  # type: ignore[arg-type]  # fractions are allowed
            return [] if text is None else [text]
        with self.connection.pipeline(transaction=False) as pipe:
            for _ in range(queued):
                pipe.lmove(key, self._taken)
            moved = redis_batch.sent(pipe)
        if refused := next((answer for answer in moved if isinstance(answer, Exception)), None):
            raise refused
        return [text for text in moved if text is not None]

    def read(self, texts: Sequence[bytes]) -> tuple[list[JobId | None], JobId | None]:
        """Which of these messages are ours, and the id that is now at the head of the queue."""
        with self.connection.pipeline(transaction=False) as pipe:
            for text in texts:
                pipe.hgetall(doorbell.key(text))
            pipe.lrange(self._queue.key, 0, doorbell.PEEKED - 1)
            *stored, waiting = redis_batch.sent(pipe)
        found = [
            doorbell.accepted(text, redis_batch.fields(answer)) if isinstance(answer, list) else None
            for text, answer in zip(texts, stored, strict=True)
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
                pipe.delete(doorbell.key(text))
            for text in reversed(back):
                pipe.lpush(self._queue.key, text)
            pipe.execute(raise_on_error=False)

    def enter(self, job_id: JobId, *, rung: bool = False) -> None:
        """Open the books on a run. `rung`: its doorbell was read just now."""
        execution = Execution(uuid4().hex, str(job_id), self.connection, worker_name=self.name)
        run = self._open[job_id] = Run(
            job_id=job_id, execution=execution, started_at=utcformat(execution.created_at), rung=rung
        )
        self._begun.append(run)

    def leave(self, outcome: Outcome) -> None:
        """Close the books on a run. What Redis does not take is kept, the newest `UNBOOKED` of it."""
        self.successful_job_count += outcome.error is None
        self.failed_job_count += outcome.error is not None
        self.total_working_time += outcome.seconds
        run = self._open.pop(outcome.job_id, None)
        if run is not None:
            self._ended.append((run, outcome))

    @property
    def unwritten(self) -> bool:
        """Whether there is anything that Redis was not told."""
        return bool(self._begun or self._ended)

    def write(self) -> None:
        """Book starts and ends in one transaction. Starts that do not reach Redis are made good by `beat`."""
        begun, self._begun = self._begun, []
        ended = tuple(self._ended)
        if not begun and not ended:
            return
        with self.connection.pipeline() as pipe:
            for run in begun:
                if run.rung:
                    pipe.lrem(self._taken, 1, run.execution.job_id)
            self._begin(pipe, begun)
            self._hold(pipe, begun)
            self._end(pipe, ended)
            self._tell_figures(pipe)
            before, self._unsure = self._unsure, True
            told = redis_batch.transacted(pipe)
        self._unsure = before or any(isinstance(answer, Exception) for answer in told)
        self._ended.clear()

    def beat(self) -> None:
        """Say that worker and executions live; now and then, and when Redis had forgotten us, write all of it again."""
        self._beats += 1
        known = self._register()
        if not known or self._unsure or self._beats % WHOLE == 0:
            self._write_all()

    def _register(self) -> bool:
        """Says whether Redis knew of us."""
        with self.connection.pipeline() as pipe:
            worker_registration.register(self, pipe)
            pipe.sadd(Queue.redis_queues_keys, self._queue.key)
            self._hold(pipe, list(self._open.values()))
            self._tell_figures(pipe)
            added, *_ = pipe.execute(raise_on_error=False)
        return bool(added == 0)

    def _write_all(self) -> None:
        self._begun = []
        for run in self._open.values():
            run.rung = False
        with self.connection.pipeline() as pipe:
            self._begin(pipe, list(self._open.values()))
            told = pipe.execute(raise_on_error=False)
        self._unsure = any(isinstance(answer, Exception) for answer in told)

    def tidy(self) -> None:
        """Remove what killed workers left, and what is past its time."""
        for step in (
            self._finished.cleanup,
            self._failed.cleanup,
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
                pipe.expire(doorbell.key(text), doorbell.KEPT)
            pipe.execute(raise_on_error=False)

    def _tidy_taken(self) -> None:
        at = time.monotonic()
        texts = cast("list[bytes]", self.connection.lrange(self._taken, 0, TIDIED - 1))
        self._lingering = {text: self._lingering.get(text, at) for text in texts}
        self.dismiss((), forged=[text for text, since in self._lingering.items() if at - since > ABANDONED])

    def _begin(self, pipe: Pipeline, runs: Sequence[Run]) -> None:
        at = now()
        time_text = utcformat(at)
        for run in runs:
            execution, job_key = run.execution, run.job_key
            execution.last_heartbeat = at
            # A doorbell's hash is there already; `beat` writes the whole of it for the others.
            pipe.hset(job_key, mapping=self._job_fields(run, time_text, whole=not run.rung))
            if not run.rung:
                pipe.persist(job_key)
            execution.save(KEYS_TTL, pipe)
            ExecutionRegistry(execution.job_id, self.connection).add(execution, KEYS_TTL, pipe)

    def _hold(self, pipe: Pipeline, runs: Sequence[Run]) -> None:
        if runs:
            until = current_timestamp() + EXECUTION_TTL
            pipe.zadd(self._started.key, {run.execution.composite_key: until for run in runs})
            pipe.sadd(self.executions_key, *(run.execution.composite_key for run in runs))
            pipe.expire(self.executions_key, WORKER_TTL)

    def _job_fields(self, run: Run, at: str, *, whole: bool) -> dict[Any, Any]:
        fields = {
            "status": JobStatus.STARTED.value,
            "started_at": run.started_at,
            "last_heartbeat": at,
            "worker_name": self.name,
        }
        if not whole:
            return fields
        since = utcformat(created_at(run.job_id)) if run.job_id.version == 7 else run.started_at
        return self._template | {"created_at": since, "data": doorbell.packed(run.execution.job_id)} | fields

    def _end(self, pipe: Pipeline, ending: Sequence[tuple[Run, Outcome]]) -> None:
        at = now()
        time_text = utcformat(at)
        for run, outcome in ending:
            execution = run.execution
            status = JobStatus.FINISHED if outcome.error is None else JobStatus.FAILED
            # The whole of it: a FLUSHALL since the last beat would leave a torso.
            fields = self._job_fields(run, time_text, whole=True)
            pipe.hset(run.job_key, mapping=fields | {"status": status.value, "ended_at": time_text})
            pipe.expire(run.job_key, doorbell.KEPT)
            results = Result.get_key(execution.job_id)  # type: ignore[no-untyped-call]
            pipe.xadd(results, _result(execution, outcome, at.timestamp()), maxlen=10)
            pipe.expire(results, doorbell.KEPT)
            pipe.zrem(ExecutionRegistry.key_template.format(execution.job_id), execution.id)
        if ending:
            composite = [run.execution.composite_key for run, _ in ending]
            pipe.delete(*(run.execution.key for run, _ in ending))
            pipe.zrem(self._started.key, *composite)
            pipe.srem(self.executions_key, *composite)
            until = current_timestamp() + doorbell.KEPT
            for registry, failed in ((self._finished, False), (self._failed, True)):
                shown = {run.execution.job_id: until for run, one in ending if (one.error is not None) is failed}
                if shown:
                    pipe.zadd(registry.key, shown)

    def _tell_figures(self, pipe: Pipeline) -> None:
        self.last_heartbeat = now()
        state = WorkerStatus.BUSY if self._open else WorkerStatus.IDLE
        figures = {
            "state": state.value,
            "successful_job_count": self.successful_job_count,
            "failed_job_count": self.failed_job_count,
            "total_working_time": self.total_working_time,
        }
        pipe.hset(self.key, mapping=self.serialize() | figures)
        pipe.expire(self.key, WORKER_TTL)


def _result(execution: Execution, outcome: Outcome, ended_at: float) -> dict[Any, Any]:
    kind = Result.Type.SUCCESSFUL if outcome.error is None else Result.Type.FAILED
    fields: dict[Any, Any] = {
        "type": kind.value,
        "worker_name": execution.worker_name,
        "execution_id": execution.id,
        "execution_started_at": execution.created_at.timestamp(),
        "execution_ended_at": ended_at,
    }
    if outcome.error is not None:
        fields["exc_string"] = b64encode(zlib.compress(outcome.error.encode())).decode()
    return fields
