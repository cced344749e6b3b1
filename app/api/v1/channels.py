"""One reader for all who watch a job in this process: each new line is read and written down once, and shared."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from app.api.v1.views import history_event
from app.domain.errors import Unavailable
from app.domain.models import AuditEvent, Job, JobId
from app.services import Services

logger = logging.getLogger(__name__)

KEPT = 64  # lines that a watcher may be behind before it reads for itself
STILL_HERE = b": still here\n\n"
# What went over the wire is for who has a key: a link may be passed on.
OPERATORS_ONLY = frozenset({"request", "response"})


def frame(line: AuditEvent, *, whole: bool = True) -> bytes:
    """One line as an event, `whole` or as the holder of a link may see it; JSON has no line breaks of its own."""
    if not whole and line.detail is not None and not line.detail.keys().isdisjoint(OPERATORS_ONLY):
        line = replace(line, detail={key: value for key, value in line.detail.items() if key not in OPERATORS_ONLY})
    return f"id: {line.version}\nevent: {line.type}\ndata: {history_event(line).model_dump_json()}\n\n".encode()


@dataclass(slots=True)
class _Kept:
    """A line, and the bytes that were made of it, for whoever asked first."""

    line: AuditEvent
    frames: dict[bool, bytes]

    def frame(self, *, whole: bool) -> bytes:
        if whole not in self.frames:
            self.frames[whole] = frame(self.line, whole=whole)
        return self.frames[whole]


class Channel:
    """What is new about one job. It reads as long as somebody watches."""

    def __init__(self, services: Services, job: Job) -> None:
        self._services, self._job_id, self._newest = services, job.job_id, job.version
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._news = asyncio.get_running_loop().create_future()
        self._listening = asyncio.Event()
        self.watchers, self.broken = 0, False
        self.reading = asyncio.create_task(self._read())

    @property
    def news(self) -> asyncio.Future[bytes]:
        """Done at the next line (with nothing), after a heartbeat (with its bytes), or when the channel breaks."""
        return self._news

    async def listening(self) -> None:
        """Returns as soon as no line can be missed any more."""
        await self._listening.wait()

    async def after(self, version: int, *, whole: bool) -> tuple[bytes, int, bool]:
        """The frames of the lines behind this version, the newest version, and whether the job has ended with it.

        Raises Unavailable.
        """
        if self._kept and self._kept[0].line.version <= version + 1:
            lines = [each for each in self._kept if each.line.version > version]
        else:
            lines = [_Kept(line, {}) for line in await self._services.log.history(self._job_id, version)]
        if not lines:
            return b"", version, False
        last = lines[-1].line
        return b"".join(each.frame(whole=whole) for each in lines), last.version, last.after.ended

    async def _read(self) -> None:
        try:
            async with self._services.feed.watch(self._job_id) as ear:
                self._listening.set()
                while True:
                    if await ear.wait(self._services.sse_heartbeat):
                        await self._look()
                    else:
                        self._tell(STILL_HERE)
        except Unavailable:
            logger.warning("a job's events cannot be read; its watchers come back")
        finally:
            self.broken = True
            self._listening.set()
            self._tell(b"")

    async def _look(self) -> None:
        lines = await self._services.log.history(self._job_id, self._newest)
        if lines:
            self._newest = lines[-1].version
            self._kept.extend(_Kept(line, {}) for line in lines)
            self._tell(b"")

    def _tell(self, words: bytes) -> None:
        told, self._news = self._news, asyncio.get_running_loop().create_future()
        told.set_result(words)


class Channels:
    """The channels of one process, by job."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[JobId, Channel] = {}

    @asynccontextmanager
    async def watch(self, job: Job) -> AsyncIterator[Channel]:
        """The job's channel, which misses no line from now on. Raises Unavailable."""
        channel = self._open.get(job.job_id)
        if channel is None or channel.broken:
            channel = self._open[job.job_id] = Channel(self._services, job)
        channel.watchers += 1
        try:
            await channel.listening()
            yield channel
        finally:
            channel.watchers -= 1
            if not channel.watchers:
                await self._close(job.job_id, channel)

    async def _close(self, job_id: JobId, channel: Channel) -> None:
        if self._open.get(job_id) is channel:
            del self._open[job_id]
        channel.reading.cancel()
        await asyncio.wait({channel.reading})
