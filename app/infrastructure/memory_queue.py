"""The doorbell and the feed for one process, without a server."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self

from app.domain.models import JobId
from app.domain.protocols import QueueReport, Watch
from app.infrastructure.feed_ears import Ears, Versions


class MemoryJobQueue:
    """Doorbells in the order in which they were rung; `take` gives the next."""

    def __init__(self) -> None:
        self._rung: deque[JobId] = deque()

    def ring(self, job_id: JobId) -> None:
        self._rung.append(job_id)

    def take(self) -> JobId | None:
        """Remove and return the head."""
        return self._rung.popleft() if self._rung else None

    async def head(self) -> JobId | None:
        return self._rung[0] if self._rung else None

    async def report(self) -> QueueReport:
        return QueueReport(registries={"queued": len(self._rung)}, workers=())

    async def close(self) -> None:
        """Nothing is held that had to be given back."""


class MemoryJobFeed:
    """Wakes the watchers of this process. Use as an async context manager: inside it, versions are looked at too."""

    def __init__(self, versions: Versions, every: timedelta = timedelta(seconds=1)) -> None:
        self._ears = Ears(versions, every)

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._ears.look_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking

    def tell(self, job_id: JobId) -> None:
        self._ears.wake((job_id,))

    def watch(self, job_id: JobId) -> AbstractAsyncContextManager[Watch]:
        return self._ears.watch(job_id)
