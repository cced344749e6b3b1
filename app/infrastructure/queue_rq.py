"""RqJobQueue: doorbells into an RQ queue, from a thread of its own, so that no caller ever waits for Redis."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from redis.exceptions import RedisError
from rq import Queue
from rq.job import JobStatus
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from app.domain.errors import Unavailable
from app.domain.models import JobId
from app.domain.protocols import QueueReport
from app.infrastructure import doorbell_rq as doorbell
from app.infrastructure import redis_batch

logger = logging.getLogger(__name__)
T = TypeVar("T")

BATCH = 500
LONGEST_PAUSE = 1.0
ANSWER_WITHIN = 0.5
FLUSH_WITHIN = 1.0
GATHER = 0.02  # seconds between two batches: a doorbell among sixteen costs a quarter of one alone
REGISTRIES = {
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "deferred": DeferredJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "canceled": CanceledJobRegistry,
}


class RqJobQueue:
    """The queue `name` at `url`. At most `buffer` doorbells wait for Redis; the oldest are dropped beyond that."""

    def __init__(self, url: str, name: str, *, buffer: int = 10_000) -> None:
        self._queue = Queue(name, connection=doorbell.connect(url), serializer=JSONSerializer)
        self._template = doorbell.template(self._queue)
        self._reader = doorbell.connect(url, connect_timeout=0.4, timeout=0.4)
        self._rung: deque[JobId] = deque(maxlen=buffer)
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._ringer = threading.Thread(target=self._keep_ringing, name="doorbells", daemon=True)
        self._ringer.start()
        self._readers = ThreadPoolExecutor(2, "queue-look")

    def ring(self, job_id: JobId) -> None:
        self._rung.append(job_id)
        if not self._bell.is_set():  # setting it wakes the thread, which costs more than asking
            self._bell.set()

    async def head(self) -> JobId | None:
        return await self._look(self._head)

    async def report(self) -> QueueReport:
        return await self._look(self._report)

    async def close(self) -> None:
        """Sends what was rung, for up to a second, and stops."""
        self._closing.set()
        self._bell.set()
        await asyncio.to_thread(self._ringer.join, FLUSH_WITHIN)
        self._readers.shutdown(wait=False)
        self._reader.close()
        self._queue.connection.close()

    async def _look(self, look: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await loop.run_in_executor(self._readers, look)
        except (RedisError, TimeoutError) as error:
            raise Unavailable("the queue does not answer", timedelta(seconds=1)) from error

    def _head(self) -> JobId | None:
        texts: list[bytes] = self._reader.lrange(self._queue.key, 0, doorbell.PEEKED - 1)  # type: ignore[assignment]
        return next((found for found in map(doorbell.job_id, texts) if found), None)

    def _report(self) -> QueueReport:
        name, client = self._queue.name, self._reader
        with client.pipeline(transaction=False) as pipe:
            pipe.llen(self._queue.key)
            pipe.llen(self._queue.intermediate_queue_key)
            for registry in REGISTRIES.values():
                pipe.zcard(registry(name, connection=client).key)
            pipe.smembers(WORKERS_BY_QUEUE_KEY % name)
            queued, intermediate, *counts, workers = pipe.execute()
            keys = sorted(workers)
            for key in keys:
                pipe.exists(key)
            alive = [key for key, exists in zip(keys, pipe.execute(), strict=True) if exists]
        return QueueReport(
            registries={"queued": queued, "intermediate": intermediate, **dict(zip(REGISTRIES, counts, strict=True))},
            workers=tuple(key.decode(errors="replace").rpartition(":")[2] for key in alive),
        )

    def _keep_ringing(self) -> None:
        unsent: list[JobId] = []
        pause = 0.0
        while not self._closing.is_set() or ((unsent or self._rung) and not pause):
            if not unsent:
                self._bell.wait(None if not self._rung else 0)
                self._bell.clear()
                unsent = [self._rung.popleft() for _ in range(min(len(self._rung), BATCH))]
            try:
                self._send(unsent)
            except RedisError as error:
                if not pause:
                    logger.warning(
                        "the queue does not take doorbells (%s): the sweep finds new jobs", type(error).__name__
                    )
                pause = min(pause * 2 or 0.1, LONGEST_PAUSE)
                self._closing.wait(pause)
            else:
                unsent, pause = [], 0.0
                self._closing.wait(GATHER)

    def _send(self, job_ids: list[JobId]) -> None:
        """As RQ's `enqueue_many` does it, which costs three times as much: it makes a job of each, and asks it."""
        if not job_ids:
            return
        at = utcformat(now())
        common = self._template | {"created_at": at, "enqueued_at": at, "status": JobStatus.QUEUED.value}
        texts = [str(job_id) for job_id in dict.fromkeys(job_ids)]
        with self._queue.connection.pipeline() as pipe:
            pipe.sadd(Queue.redis_queues_keys, self._queue.key)
            for text in texts:
                pipe.hset(doorbell.key(text.encode()), mapping=common | {"data": doorbell.packed(text)})
            pipe.rpush(self._queue.key, *texts)
            told = redis_batch.transacted(pipe)
        if refused := next((answer for answer in told if isinstance(answer, Exception)), None):
            raise refused
