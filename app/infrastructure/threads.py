"""Blocking work in a few threads, for coroutines. The standard executor makes two futures and a lock for each call and
chains them: a tenth of what an upload costs the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """At most `count` threads, begun as they are needed."""

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._work: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0  # what was handed in and is not told yet; only loops write it
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives back, or raises. When the caller is cancelled, it ends first."""
        if self._closed:
            raise RuntimeError("no work is taken any more")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        if self._under_way > len(self._threads) < self._count:
            self._threads.append(threading.Thread(target=self._keep_working, name=self._name, daemon=True))
            self._threads[-1].start()
        self._work.put((work, future))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
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
            work, future = handed_in
            try:
                made, error = work(), None
            except BaseException as raised:  # noqa: BLE001 - whoever waits gets it
                made, error = None, raised
            with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
                future.get_loop().call_soon_threadsafe(self._tell, future, made, error)
            del work, future, made, error, handed_in

    def _tell(self, future: asyncio.Future[Any], made: object, error: BaseException | None) -> None:
        self._under_way -= 1
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(made)
