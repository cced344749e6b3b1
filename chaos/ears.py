"""Listens where nobody usually looks: at all that Redis is told and holds, and at the arguments of processes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no types of its own
import redis.asyncio as redis
from redis.exceptions import RedisError

from chaos.parts import Part

LOOK_EVERY = 0.15


class Ears:
    """From `listen` to `close`; what was heard stands in `told`, `held` and `arguments`."""

    def __init__(self, socket: str, password: str, parts: Callable[[], Iterable[Part]]) -> None:
        self._socket, self._password, self._parts = socket, password, parts
        self._server: Any = redis.Redis(unix_socket_path=socket, password=password)
        self.told, self.held, self.arguments = bytearray(), set[bytes](), set[bytes]()
        self._listening = True
        self._tasks: list[asyncio.Task[None]] = []

    def listen(self) -> None:
        """Begins."""
        self._tasks = [asyncio.create_task(work()) for work in (self._monitor, self._look)]

    async def close(self) -> None:
        """Ends."""
        self._listening = False  # a client that is just being told of trouble may swallow a cancellation
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.aclose()

    async def _monitor(self) -> None:
        """Every command that any client sends."""
        while self._listening:
            with suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                writer.write(f"AUTH {self._password}\r\nMONITOR\r\n".encode())
                while piece := await reader.read(65536):
                    self.told += piece
                writer.close()
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        while self._listening:
            for part in self._parts():
                for process in part.family():
                    with suppress(psutil.Error):
                        self.arguments.add("\0".join(process.cmdline()).encode())
            with suppress(RedisError, OSError):
                async for key in self._server.scan_iter(count=1000):
                    self.held.add(key)
                    if await self._server.type(key) == b"hash":
                        for field, value in (await self._server.hgetall(key)).items():
                            self.held |= {field, value, _unpacked(value)}
            await asyncio.sleep(LOOK_EVERY)


def _unpacked(value: bytes) -> bytes:
    """RQ keeps its calls compressed."""
    try:
        return zlib.decompress(value)
    except zlib.error:
        return b""
