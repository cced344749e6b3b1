"""RedisJobFeed: hints between processes over Redis pub/sub, each way in a thread of its own.

A message is a tag of the process that sent it, and ids; nothing is believed but that these jobs are worth a look.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.domain.models import JobId
from app.domain.protocols import Watch
from app.infrastructure.feed_ears import Ears, Versions

logger = logging.getLogger(__name__)

BATCH = 200
LONGEST_PAUSE = 2.0
GATHER = 0.005  # seconds between two messages, so that they carry what happened meanwhile together
LISTEN = 1.0  # seconds after which a listener looks whether it is to stop


class RedisJobFeed:
    """Hints on the channel `<name>:feed` at `url`. Use as an async context manager.

    `versions` is asked once per `every` about all jobs that this process watches. Without Redis that is all there is,
    and enough. At most `buffer` hints wait for Redis; the oldest are dropped beyond that.
    """

    def __init__(
        self,
        url: str,
        name: str,
        versions: Versions,
        every: timedelta = timedelta(seconds=1),
        *,
        buffer: int = 10_000,
    ) -> None:
        self._channel = f"{name}:feed"
        self._client = Redis.from_url(
            url,
            socket_connect_timeout=1.0,
            socket_timeout=2.0,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=15,
            protocol=2,
        )
        self._ears = Ears(versions, every)
        self._tag = uuid4().hex.encode()
        self._told: deque[JobId] = deque(maxlen=buffer)
        self._hint = threading.Event()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_telling, name="feed-tells", daemon=True),
            threading.Thread(target=self._keep_listening, name="feed-listens", daemon=True),
        ]

    async def __aenter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._looking = asyncio.create_task(self._ears.look_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._hint.set()
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking
        for thread in self._threads:
            await asyncio.to_thread(thread.join, LISTEN * 2)
        self._client.close()

    def tell(self, job_id: JobId) -> None:
        self._ears.wake((job_id,))
        self._told.append(job_id)
        if not self._hint.is_set():  # setting it wakes the thread, which costs more than asking
            self._hint.set()

    def watch(self, job_id: JobId) -> AbstractAsyncContextManager[Watch]:
        return self._ears.watch(job_id)

    def _keep_telling(self) -> None:
        pause = 0.0
        while not self._closing.is_set() or (self._told and not pause):
            if not self._told:
                self._hint.wait()
            self._hint.clear()
            job_ids = {self._told.popleft() for _ in range(min(len(self._told), BATCH))}
            try:
                if job_ids:
                    self._client.publish(
                        self._channel, b" ".join([self._tag, *(job_id.bytes.hex().encode() for job_id in job_ids)])
                    )
                pause = 0.0
                self._closing.wait(GATHER)
            except RedisError as error:
                # A hint is worth something for a second at most: what could not be told is dropped.
                pause = self._rest(pause, error)

    def _keep_listening(self) -> None:
        pause = 0.0
        while not self._closing.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as messages:  # type: ignore[no-untyped-call]
                    messages.subscribe(self._channel)
                    while not self._closing.is_set():
                        self._hear(messages.get_message(timeout=LISTEN))
                        pause = 0.0
            except RedisError as error:
                pause = self._rest(pause, error)

    def _hear(self, message: dict[str, object] | None) -> None:
        payload = message["data"] if message else None
        if isinstance(payload, bytes):
            tag, *told = payload.split(b" ", BATCH + 1)
            if tag != self._tag:
                self._ears.wake({job_id for text in told[:BATCH] if (job_id := _job_id(text))})

    def _rest(self, pause: float, error: RedisError) -> float:
        if not pause:
            logger.warning("the feed has no Redis (%s): changes are found by looking", type(error).__name__)
        pause = min(pause * 2 or 0.1, LONGEST_PAUSE)
        self._closing.wait(pause)
        return pause


def _job_id(text: bytes) -> JobId | None:
    try:
        return JobId(UUID(text.decode("ascii")))
    except ValueError:
        return None
