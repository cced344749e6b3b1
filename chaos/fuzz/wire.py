"""Requests byte by byte, as no client library would let one write them, and the answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

PATIENCE = 12.0  # longer than any deadline of the service for request headers
GO_ON = b"HTTP/1.1 100"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One request. `framed`: its length is told truly; else `headers` say, or do not, how long it is, and whether an
    answer comes at all is the service's choice."""

    kind: str
    method: str = "POST"
    target: bytes = b"/api/v1/jobs"
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    framed: bool = True

    def raw(self) -> bytes:
        """As it is sent."""
        headers = [*self.headers, (b"Connection", b"close")]
        if not any(name.lower() == b"host" for name, _ in headers):
            headers.insert(0, (b"Host", b"fuzz"))
        if self.framed:
            headers.append((b"Content-Length", str(len(self.body)).encode()))
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return self.method.encode() + b" " + self.target + b" HTTP/1.1\r\n" + lines + b"\r\n" + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `status` is 0 where nothing did."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


async def ask(port: int, request: Hostile) -> Answer:
    """Sends it and reads the answer. A request with a false length is cut off soon after it was sent."""
    said = bytearray()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Answer()
    try:
        writer.write(request.raw())
        with suppress(OSError):
            await writer.drain()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE if request.framed else 0.2):
                while not _complete(said, request.method) and (piece := await reader.read(65536)):
                    said += piece
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    # Of a request with a false length, an answer may still be on its way.
    return _parsed(bytes(said)) if request.framed or _complete(said, request.method) else Answer()


def _complete(said: bytes | bytearray, method: str) -> bool:
    head, gap, body = said.partition(b"\r\n\r\n")
    if not gap:
        return False
    if head.startswith(GO_ON):
        return _complete(body, method)
    if method == "HEAD" or head.startswith((b"HTTP/1.1 304", b"HTTP/1.1 204")):
        return True
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    return said.endswith(b"\r\n0\r\n\r\n")


def _parsed(said: bytes) -> Answer:
    head, gap, body = said.partition(b"\r\n\r\n")
    if head.startswith(GO_ON):
        return _parsed(body)
    if not gap:
        return Answer(body=said)
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = _joined(body)
    return Answer(status=int(first.split(" ")[1]), headers=headers, body=body)


def _joined(chunks: bytes) -> bytes:
    found = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size or b"0", 16)
        found, chunks = found + rest[:length], rest[length + 2 :] if length else b""
    return found
