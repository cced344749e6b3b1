"""One reader for all who watch a job in this process: each new line is read, written down and framed once, and written
to every open stream in one go, without a turn of its task."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from app.api.http_protocol import Push, chunk
from app.api.v1.views import history_event
from app.domain.errors import Unavailable
from app.domain.models import AuditEvent, Job, JobId
from app.services import Services

logger = logging.getLogger(__name__)

KEPT = 64  # lines that a watcher may be behind before it reads for itself
STILL_HERE = b": still here\n\n"
AT_ONCE = 100  # streams that are written to before others get their turn
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


class Watcher:
    """One open stream that has sent everything up to the line `after`.

    While it waits, what is new is written through to its connection. Where that cannot be (the client is slow, the
    server has no such way), and when the stream is to end, its task is woken to do it.
    """

    __slots__ = ("_push", "_turn", "_woken", "after", "reminded", "whole")

    def __init__(self, after: int, *, whole: bool, push: Push | None) -> None:
        self.after, self.whole, self.reminded = after, whole, False
        self._push = push
        self._woken = False
        self._turn: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Returns when there is something that the task has to do; at once if it came since the last time."""
        if not self._woken:
            self._turn = asyncio.get_running_loop().create_future()
            try:
                await self._turn
            finally:
                self._turn = None
        self._woken = False

    def wake(self) -> None:
        """There is something to do."""
        self._woken = True
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def write_through(self, words: bytes) -> bool:
        """Whether these bytes, a `chunk`, are on their way."""
        return self._waits and self._push is not None and self._push(words)

    def remind(self) -> None:
        """Has a heartbeat sent, unless something else is on its way."""
        if self._waits:
            self.reminded = True
            self.wake()

    @property
    def _waits(self) -> bool:
        return self._turn is not None and not self._woken


class Channel:
    """What is new about one job. It reads as long as somebody watches."""

    def __init__(self, services: Services, job: Job) -> None:
        self._services, self._job_id, self._newest = services, job.job_id, job.version
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._listening = asyncio.Event()
        self.watchers: set[Watcher] = set()
        self.broken = False
        self.reading = asyncio.create_task(self._read())

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
                        await self._say_still_here()
        except Unavailable:
            logger.warning("a job's events cannot be read; its watchers come back")
        finally:
            self.broken = True
            self._listening.set()
            self._wake_all()

    async def _look(self) -> None:
        lines = [_Kept(line, {}) for line in await self._services.log.history(self._job_id, self._newest)]
        if not lines:
            return
        before, self._newest = self._newest, lines[-1].line.version
        self._kept.extend(lines)
        if lines[-1].line.after.ended:
            self._wake_all()
        else:
            await self._write_through(lines, before)

    async def _write_through(self, lines: list[_Kept], before: int) -> None:
        """Writes the lines behind `before` to whoever has all others, and wakes who has not."""
        newest = lines[-1].line.version
        words = {
            whole: chunk(b"".join(line.frame(whole=whole) for line in lines))
            for whole in {watcher.whole for watcher in self.watchers}
        }
        async for watcher in self._in_turn():
            if watcher.after == before and watcher.write_through(words[watcher.whole]):
                watcher.after = newest
            elif watcher.after < newest:
                watcher.wake()

    async def _say_still_here(self) -> None:
        words = chunk(STILL_HERE)
        async for watcher in self._in_turn():
            if not watcher.write_through(words):
                watcher.remind()

    async def _in_turn(self) -> AsyncIterator[Watcher]:
        """Who watches now; others get their turn in between. Who comes meanwhile looks for itself."""
        for number, watcher in enumerate(tuple(self.watchers), start=1):
            yield watcher
            if not number % AT_ONCE:
                await asyncio.sleep(0)

    def _wake_all(self) -> None:
        for watcher in self.watchers:
            watcher.wake()


class Channels:
    """The channels of one process, by job."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[JobId, Channel] = {}

    @asynccontextmanager
    async def watch(self, job: Job, watcher: Watcher) -> AsyncIterator[Channel]:
        """The job's channel, which misses no line from now on and tells the watcher. Raises Unavailable."""
        channel = self._open.get(job.job_id)
        if channel is None or channel.broken:
            channel = self._open[job.job_id] = Channel(self._services, job)
        channel.watchers.add(watcher)
        try:
            await channel.listening()
            yield channel
        finally:
            channel.watchers.discard(watcher)
            if not channel.watchers:
                await self._close(job.job_id, channel)

    async def _close(self, job_id: JobId, channel: Channel) -> None:
        if self._open.get(job_id) is channel:
            del self._open[job_id]
        channel.reading.cancel()
        await asyncio.wait({channel.reading})
