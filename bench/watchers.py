"""Many clients of one event stream in one process: each notes when each event reached it."""

from __future__ import annotations

import asyncio
import re
import time

_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


class Watcher(asyncio.Protocol):
    """One open stream. `heard` are the versions with the times of their arrival."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.heard: dict[int, float] = {}
        self.repeats = 0
        self.head = b""
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]  # a socket's transport

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.head:
            self.head = data[:15]
        whole, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        for found in _ID.findall(whole):
            version = int(found)
            self.repeats += version in self.heard
            self.heard.setdefault(version, now)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the Protocol's own signature
        self.closed = True

    def leave(self) -> None:
        """Closes the connection."""
        self._transport.close()


async def watch(port: int, path: str, count: int) -> list[Watcher]:
    """That many open streams, each of which has heard something."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    loop, watchers = asyncio.get_running_loop(), []
    for _ in range(count):
        _, watcher = await loop.create_connection(lambda: Watcher(request), "127.0.0.1", port)
        watchers.append(watcher)
    until = time.monotonic() + 60
    while not all(watcher.heard for watcher in watchers):
        refused = [watcher.head for watcher in watchers if watcher.head and b" 200" not in watcher.head]
        if refused or time.monotonic() > until:
            raise RuntimeError(f"streams did not open: {refused[:1] or 'too slow'}")
        await asyncio.sleep(0.02)
    return watchers
