"""Blocking work in a few threads, for coroutines. The standard executor makes two futures and a lock for each call and
chains them: a tenth of what an upload costs the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _HandedIn:
    """Work, the future of whoever wants what it gives back, and that of whoever was cancelled and waits for its end."""

    work: Callable[[], Any]
    future: asyncio.Future[Any]
    over: bool = False
    ended: asyncio.Future[None] | None = None


class Threads:
    """At most `count` threads, begun as they are needed."""

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._work: SimpleQueue[_HandedIn | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0  # what was handed in and is not told yet; only loops write it
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives back, or raises. When the caller is cancelled, it ends first."""
        if self._closed:
            raise RuntimeError("no work is taken any more")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        handed_in = _HandedIn(work, future)
        self._under_way += 1
        if self._under_way > len(self._threads) < self._count:
            self._threads.append(threading.Thread(target=self._keep_working, name=self._name, daemon=True))
            self._threads[-1].start()
        self._work.put(handed_in)
        try:
            return await future
        except asyncio.CancelledError:
            if not handed_in.over:
                handed_in.ended = future.get_loop().create_future()
                await handed_in.ended
            raise

    def close(self) -> None:
        """Waits for work that was handed in."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _keep_working(self) -> None:
        while (handed_in := self._work.get()) is not None:
            try:
                made, error = handed_in.work(), None
            except BaseException as raised:  # noqa: BLE001 - whoever waits gets it
                made, error = None, raised
            with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
                handed_in.future.get_loop().call_soon_threadsafe(self._tell, handed_in, made, error)
            del made, error, handed_in

    def _tell(self, handed_in: _HandedIn, made: object, error: BaseException | None) -> None:
        self._under_way -= 1
        handed_in.over = True
        if handed_in.future.cancelled():
            if handed_in.ended is not None and not handed_in.ended.done():
                handed_in.ended.set_result(None)
        elif error is not None:
            handed_in.future.set_exception(error)
        else:
            handed_in.future.set_result(made)
