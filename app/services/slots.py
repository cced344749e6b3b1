"""How many jobs may run at a time in this worker: per workflow, and alone where a job is suspected of killing workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager


class NoRoom(Exception):
    """So many of this workflow's jobs wait here already that other workflows would get no turn."""


class _Slot:
    """One of a semaphore's, which may be given back before its block ends."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._mine = False

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()
        self._mine = True

    async def __aexit__(self, *_: object) -> None:
        self.free()

    def free(self) -> None:
        if self._mine:
            self._mine = False
            self._semaphore.release()


class Slots:
    """`in_flight` bounds what runs of each workflow; whatever waits for a slot stays within what leaves every other
    workflow its own slots out of `concurrency`.

    A workflow that was refused room is crowded, until `look` finds half of its slots idle.
    """

    def __init__(self, in_flight: Mapping[str, int], concurrency: int) -> None:
        total = sum(in_flight.values())
        self._room = {name: max(own, concurrency - (total - own)) for name, own in in_flight.items()}
        self._own = dict(in_flight)
        self._slots = {name: asyncio.Semaphore(own) for name, own in in_flight.items()}
        self._crowded: frozenset[str] = frozenset()
        self._held: Counter[str] = Counter()
        self._running = 0
        self._alone = False
        self._solo = asyncio.Lock()
        self._waiters: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def hold(self, workflow: str, *, alone: bool) -> AsyncIterator[Callable[[], None]]:
        """Waits for a slot and keeps it until the block ends, or calls what it is given: once a far side has answered,
        another delivery may begin while the answer is recorded. With `alone`, nothing else of this worker runs until the
        block ends. Raises NoRoom."""
        if self._held[workflow] >= self._room[workflow]:
            self._crowded |= {workflow}
            raise NoRoom(workflow)
        self._held[workflow] += 1
        try:
            slot = _Slot(self._slots[workflow])
            async with slot, self._turn(alone):
                yield slot.free
        finally:
            self._held[workflow] -= 1

    def look(self) -> tuple[Mapping[str, int], Collection[str]]:
        """How many more jobs of each workflow may come, and which workflows are crowded."""
        self._crowded = frozenset(name for name in self._crowded if self._held[name] * 2 >= self._own[name])
        return {name: most - self._held[name] for name, most in self._room.items()}, self._crowded

    def unseen(self, in_flight: int) -> int:
        """How many jobs may come without anybody knowing of which workflow they are, beside the `in_flight` that are
        here, without one being refused of those workflows that are crowded. Any thread may ask."""
        held = dict(self._held)
        unsorted = in_flight - sum(held.values())
        left = (self._room[name] - held[name] - unsorted for name in self._crowded)
        return max(0, min(left, default=sum(self._room.values())))

    @asynccontextmanager
    async def _turn(self, alone: bool) -> AsyncIterator[None]:
        if alone:
            async with self._solo, self._only_one():
                yield
            return
        await self._until(lambda: not self._alone)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._wake()

    @asynccontextmanager
    async def _only_one(self) -> AsyncIterator[None]:
        self._alone = True  # from here on nobody else starts, so the wait for those who run is bounded
        try:
            await self._until(lambda: self._running == 0)
            yield
        finally:
            self._alone = False
            self._wake()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
