"""The load: `python -m bench.load`, a plan as JSON on standard input, the figures as JSON on standard output.

Speaks raw HTTP/1.1 over kept-alive connections, one request at a time on each: the two cores are shared with what is
measured, so a request must cost the sender as little as possible. Latencies run from the first byte written to the last
byte of the answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import uvloop


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is sent. It ends after `seconds`, or after `count` answers; nothing counts in the `warm` first seconds.

    `paths` is a file with one path a line, taken in turn from `first_path` on; `unique` is a header that gets a value of its own each
    time; `pause` is how long a connection rests between two requests.
    """

    ports: list[int]
    method: str = "GET"
    path: str = "/"
    paths: str = ""
    first_path: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    unique: str = ""
    connections: int = 16
    seconds: float = 3.0
    count: int = 0
    warm: float = 0.0
    pause: float = 0.0
    expect: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of it. `sent` counts all answers, `done` the right ones that count; times in milliseconds."""

    sent: int
    done: int
    seconds: float
    p50: float
    p99: float
    longest: float
    wrong: Mapping[str, int]

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.done / self.seconds if self.seconds else 0.0


class Sender:
    """Makes requests of a plan, and keeps the figures."""

    def __init__(self, plan: Plan, tag: str) -> None:
        self.plan, self._tag = plan, tag
        self._body = Path(plan.body).read_bytes() if plan.body else b""
        self._paths = Path(plan.paths).read_text().split() if plan.paths else [plan.path]
        self._begun = plan.first_path
        length = f"content-length: {len(self._body)}\r\n" if self._body else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
        self._lines = f" HTTP/1.1\r\nhost: localhost\r\n{lines}{length}"
        self.began = perf_counter()
        self.latencies: list[float] = []
        self.wrong: Counter[str] = Counter()
        self.sent = 0
        self.last = self.began
        self.over = asyncio.get_running_loop().create_future()

    def next(self) -> list[bytes] | None:
        """The next request, or None when there is to be none."""
        asked = self._begun - self.plan.first_path
        if (asked >= self.plan.count) if self.plan.count else (perf_counter() - self.began > self.plan.seconds):
            return None
        path = self._paths[self._begun % len(self._paths)]
        self._begun += 1
        unique = f"{self.plan.unique}: {self._tag}-{self._begun}\r\n" if self.plan.unique else ""
        head = f"{self.plan.method} {path}{self._lines}{unique}\r\n".encode()
        return [head, self._body] if self._body else [head]

    def answered(self, status: int, began: float) -> None:
        self.sent += 1
        now = perf_counter()
        if began - self.began < self.plan.warm:
            return
        if status == self.plan.expect:
            self.latencies.append(now - began)
            self.last = now
        else:
            self.wrong[str(status)] += 1

    def figures(self) -> Figures:
        ordered = sorted(self.latencies)
        last = len(ordered) - 1

        def at(share: float) -> float:
            return ordered[round(last * share)] * 1000 if ordered else 0.0

        seconds = self.last - self.began - self.plan.warm
        return Figures(
            sent=self.sent,
            done=len(ordered),
            seconds=seconds,
            p50=at(0.5),
            p99=at(0.99),
            longest=at(1.0),
            wrong=dict(self.wrong),
        )


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, sender: Sender, ended: Callable[[], None]) -> None:
        self._sender, self._ended = sender, ended
        self._answer = b""
        self._whole = -1
        self._asking = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        request = self._sender.next()
        if request is None:
            self._transport.close()
            return
        self._asking, self._answer, self._whole = True, b"", -1
        self._began = perf_counter()
        self._transport.writelines(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._whole < 0:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._whole = end + 4 + _length(self._answer[:end].lower())
        if len(self._answer) < self._whole:
            return
        self._asking = False
        self._sender.answered(int(self._answer[9:12]), self._began)
        if self._sender.plan.pause:
            asyncio.get_running_loop().call_later(self._sender.plan.pause, self._ask)
        else:
            self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        if self._asking:
            self._sender.wrong["broken"] += 1
        self._ended()


def _length(head: bytes) -> int:
    start = head.find(b"content-length:")
    return int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0


async def load(plan: Plan, tag: str) -> Figures:
    """Carries the plan out."""
    sender, left = Sender(plan, tag), plan.connections

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            sender.over.set_result(None)

    loop = asyncio.get_running_loop()
    for number in range(plan.connections):
        port = plan.ports[number % len(plan.ports)]
        await loop.create_connection(lambda: Caller(sender, ended), "127.0.0.1", port)
    await sender.over
    return sender.figures()


def main() -> None:
    """The whole of this program."""
    plan = Plan(**json.load(sys.stdin))
    print(json.dumps(asdict(uvloop.run(load(plan, f"{perf_counter():.6f}")))))


if __name__ == "__main__":
    main()
