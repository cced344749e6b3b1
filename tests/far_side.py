"""A far side on a real socket: scripted answers, a record of what came, and every way of breaking off."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

TLS_HANDSHAKE = b"\x16"


@dataclass
class Receipt:
    """One request as it came; `complete` once the whole body was there."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    received: bytearray = field(default_factory=bytearray)
    size: int = 0
    complete: bool = False
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def body(self) -> bytes:
        """The bytes that came."""
        return bytes(self.received)

    def header(self, name: str) -> str | None:
        """The value of a header, or None; fails when it came twice."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) < 2, f"{name} came twice"
        return values[0] if values else None


class Call:
    """One request being answered by a behaviour."""

    def __init__(
        self, receipt: Receipt, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool
    ) -> None:
        self.receipt, self._reader, self._writer, self._keep = receipt, reader, writer, keep

    async def read_body(self, most: int | None = None) -> bytes:
        """Reads the body to its end, or its first `most` bytes."""
        length = int(self.receipt.header("content-length") or 0)
        end = length if most is None else min(length, most)
        while self.receipt.size < end:
            piece = await self._reader.read(min(65536, end - self.receipt.size))
            if not piece:
                raise ConnectionResetError
            self.receipt.size += len(piece)
            self.receipt.digest.update(piece)
            if self._keep:
                self.receipt.received += piece
        self.receipt.complete = self.receipt.size == length
        return self.receipt.body

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def abort(self) -> None:
        """Resets the connection."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Ends the connection in order."""
        self._writer.close()


Behaviour = Callable[[Call], Awaitable[None]]


def reply(
    status: int = 200,
    body: str | bytes = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    delay: float = 0.0,
) -> Behaviour:
    """Reads the request to its end and answers."""

    async def behave(call: Call) -> None:
        await call.read_body()
        await asyncio.sleep(delay)
        await call.send(answer(status, body, content_type, headers))

    return behave


def answer(
    status: int,
    body: str | bytes = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole HTTP/1.1 answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": content_type, "Content-Length": str(len(content))} | dict(headers or {})
    return (f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode() + content


async def hang(call: Call) -> None:
    """Reads everything and never answers."""
    await call.read_body()
    await asyncio.Event().wait()


async def reset_after_body(call: Call) -> None:
    """Has the whole request, then the connection breaks."""
    await call.read_body()
    call.abort()


async def close_after_body(call: Call) -> None:
    """Has the whole request, then closes without a word."""
    await call.read_body()
    call.close()


class FarSide:
    """Answers requests by its script; the last behaviour is repeated."""

    def __init__(self, keep_bodies: bool) -> None:
        self.receipts: list[Receipt] = []
        self.connections = 0
        self.script: deque[Behaviour] = deque([reply()])
        self._keep = keep_bodies
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def will(self, *behaviours: Behaviour) -> None:
        """Sets the script from now on."""
        self.script = deque(behaviours)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._one(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:  # servers of plain HTTP hang up on it
            writer.close()
            return
        lines = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:-2])]
        call = Call(Receipt(method, path, headers), reader, writer, self._keep)
        self.receipts.append(call.receipt)
        behave = self.script.popleft() if len(self.script) > 1 else self.script[0]
        await behave(call)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def far_side(
    *, keep_bodies: bool = True, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[FarSide]:
    """A far side on a free port of the loopback interface."""
    far = FarSide(keep_bodies)
    server = await asyncio.start_server(far.serve, "127.0.0.1", port, ssl=tls)
    far.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield far
    finally:
        server.close()
        await far.stop()
        await server.wait_closed()
