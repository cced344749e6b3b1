"""The far side: `python -m bench.far_side PORT`. Takes any POST, answers 200, and calls back where it is told to.

Raw HTTP/1.1, so that it costs little beside what is measured. `GET /begin?delay=0.1&every=0.1&callback=1` clears the figures and
says how to behave from now on: `delay` seconds before each answer, at most one answer per `every` seconds, and a
callback with a success after each. `GET /figures` gives what was seen.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from time import time
from urllib.parse import parse_qsl, urlsplit

import uvloop

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SUCCESS = b'{"status": "success", "result_message": "done"}'
CALLERS = 16


@dataclass(slots=True)
class Seen:
    """The figures since the last `begin`, and how to behave."""

    delay: float = 0.0
    every: float = 0.0
    callback: bool = False
    first: float = 0.0
    last: float = 0.0
    last_callback: float = 0.0
    answered: int = 0
    applied: int = 0
    free_at: float = 0.0
    by_job: Counter[bytes] = field(default_factory=Counter)

    def figures(self) -> dict[str, float]:
        return {
            "first": self.first,
            "last": self.last,
            "last_callback": self.last_callback,
            "answered": self.answered,
            "applied": self.applied,
            "jobs": len(self.by_job),
            "repeats": sum(count - 1 for count in self.by_job.values()),
        }


class FarSide:
    """What all connections share."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.calls: deque[tuple[str, bytes]] = deque()
        self.callers: list[Caller] = []

    def begin(self, query: str) -> None:
        given = dict(parse_qsl(query))
        self.seen = Seen(
            delay=float(given.get("delay", 0)),
            every=float(given.get("every", 0)),
            callback=given.get("callback") == "1",
        )

    def pause(self) -> float:
        """How long the next answer is to wait."""
        seen, now = self.seen, time()
        if not seen.every:
            return seen.delay
        seen.free_at = max(seen.free_at, now) + seen.every
        return max(seen.delay, seen.free_at - now)

    async def call_back(self, head: bytes) -> None:
        """Tells the job's address that it succeeded."""
        target = urlsplit(_field(head, b"callback_url"))
        request = (
            f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {_field(head, b'callback_token')}\r\ncontent-length: {len(SUCCESS)}\r\n\r\n"
        ).encode() + SUCCESS
        self.calls.append((target.netloc, request))
        for caller in self.callers:
            if caller.address == target.netloc and not caller.busy:
                caller.go()
                return
        if sum(caller.address == target.netloc for caller in self.callers) < CALLERS:
            host, _, port = target.netloc.partition(":")
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: Caller(self, target.netloc), host, int(port or 80))


class Caller(asyncio.Protocol):
    """One kept-alive connection on which callbacks are sent."""

    def __init__(self, far: FarSide, address: str) -> None:
        self._far, self.address = far, address
        self.busy = False
        self._answer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._far.callers.append(self)
        self.go()

    def go(self) -> None:
        self.busy = bool(self._far.calls)
        if self.busy:
            _, request = self._far.calls.popleft()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0 or len(self._answer) < end + 4 + _length(self._answer[:end].lower()):
            return
        seen = self._far.seen
        seen.applied += self._answer[9:12] == b"200"
        seen.last_callback = time()
        self._answer = b""
        self.go()

    def connection_lost(self, _: Exception | None) -> None:
        self._far.callers.remove(self)


class Delivery(asyncio.Protocol):
    """One connection on which deliveries come."""

    def __init__(self, far: FarSide) -> None:
        self._far = far
        self._head = b""
        self._missing = -1
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            if self._head.startswith(b"GET "):
                self._control()
                return
            self._missing = _length(self._head[:end].lower()) - (len(self._head) - end - 4)
            self._far.seen.first = self._far.seen.first or time()
        else:
            self._missing -= len(data)
            if len(self._head) < 8192:
                self._head += data
        if self._missing <= 0:
            head, self._head, self._missing = self._head, b"", -1
            self._came(head)

    def _came(self, head: bytes) -> None:
        self._far.seen.by_job[_header(head, b"webhook-id")] += 1
        pause = self._far.pause()
        if pause:
            asyncio.get_running_loop().call_later(pause, self._answer, head)
        else:
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if self._transport.is_closing():
            return
        seen = self._far.seen
        seen.answered += 1
        seen.last = time()
        self._transport.write(OK)
        if seen.callback:
            task = asyncio.ensure_future(self._far.call_back(head))
            task.add_done_callback(_report)

    def _control(self) -> None:
        target = urlsplit(self._head.split(b" ", 2)[1].decode())
        self._head = b""
        if target.path == "/begin":
            self._far.begin(target.query)
        body = json.dumps(self._far.seen.figures()).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def _report(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception():
        print(f"a callback was not sent: {task.exception()!r}", file=sys.stderr, flush=True)


def _length(head: bytes) -> int:
    return int(_header(head, b"content-length") or 0)


def _header(head: bytes, name: bytes) -> bytes:
    start = head.lower().find(b"\r\n" + name + b":")
    return head[start + len(name) + 3 :].split(b"\r\n", 1)[0].strip() if start >= 0 else b""


def _field(head: bytes, name: bytes) -> str:
    """A text field of a multipart body, which stands before the file."""
    _, _, rest = head.partition(b'name="' + name + b'"\r\n\r\n')
    return rest.split(b"\r\n", 1)[0].decode()


async def main() -> None:
    """Serves until it is ended."""
    far = FarSide()
    server = await asyncio.get_running_loop().create_server(
        lambda: Delivery(far), "127.0.0.1", int(sys.argv[1]), backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
