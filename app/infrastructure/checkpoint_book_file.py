"""The file of checkpoints: one line after the other, forced to the disk, written by one process at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.domain.errors import StoreUnavailable
from app.domain.record_ports import CheckpointPage

BLOCK = 1 << 16


class FileCheckpointBook:
    """A file on a local disk, or on one that is shared and knows locks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[CheckpointPage | None]:
        descriptor = await asyncio.to_thread(self._claim)
        try:
            yield None if descriptor is None else OpenCheckpoints(descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)  # lets go of the lock

    def _claim(self) -> int | None:
        try:
            new = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            if new:
                _force_name(self._path)
        except OSError as error:
            raise StoreUnavailable(f"the file of checkpoints cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor


class OpenCheckpoints:
    """The file while it is locked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def tail(self, far_enough: Callable[[bytes], bool]) -> list[bytes]:
        return await asyncio.to_thread(self._tail, far_enough)

    def _tail(self, far_enough: Callable[[bytes], bool]) -> list[bytes]:
        found: list[bytes] = []
        for line in self._backwards():
            found.append(line)
            if far_enough(line):
                break
        return found[::-1]

    def _backwards(self) -> Iterator[bytes]:
        """The lines from the last one on."""
        at, rest = os.fstat(self._descriptor).st_size, b""
        while at > 0:
            at, size = max(0, at - BLOCK), min(BLOCK, at)
            rest, *lines = (os.pread(self._descriptor, size, at) + rest).split(b"\n")
            yield from filter(None, reversed(lines))
        if rest:
            yield rest

    async def append(self, line: bytes) -> None:
        await asyncio.to_thread(self._append, line)

    def _append(self, line: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"  # a crash cut the last one off
        data = memoryview((b"\n" if torn else b"") + line + b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreUnavailable(f"the checkpoint was not written: {error.strerror}") from None


def _force_name(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
