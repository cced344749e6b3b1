"""A request's body as bytes: in pieces at a decent pace, or whole up to a limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from starlette.requests import Request
from starlette.types import Receive

from app.domain.errors import Malformed, TooLarge, TooSlow, UnsupportedMediaType


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """No pause longer than `idle_timeout`, and at least `min_rate` bytes a second over each `rate_window` of waiting."""

    min_rate: int
    rate_window: timedelta
    idle_timeout: timedelta


@dataclass(slots=True)
class Body:
    """The pieces of a body as they arrive. Only time spent waiting for the client counts against its pace."""

    receive: Receive
    pace: Pace
    max_size: int
    _waited: float = 0.0
    _came: int = 0
    _size: int = 0
    _over: bool = field(default=False)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            if piece := await self._next():
                return piece
        raise StopAsyncIteration

    async def _next(self) -> bytes:
        began = monotonic()
        try:
            async with asyncio.timeout(self.pace.idle_timeout.total_seconds()):
                message = await self.receive()
        except TimeoutError as error:
            raise TooSlow("the body stopped coming") from error
        if message["type"] == "http.disconnect":
            raise Malformed("the connection ended before the body did")
        piece: bytes = message.get("body", b"")
        self._over = not message.get("more_body", False)
        self._count(len(piece), monotonic() - began)
        return piece

    def _count(self, size: int, waited: float) -> None:
        self._size += size
        self._came += size
        self._waited += waited
        if self._size > self.max_size:
            raise TooLarge(f"the body is larger than {self.max_size} bytes")
        if self._waited < self.pace.rate_window.total_seconds():
            return
        if self._came < self.pace.min_rate * self._waited and not self._over:
            raise TooSlow(f"the body comes slower than {self.pace.min_rate} bytes a second")
        self._came, self._waited = 0, 0.0


def open_body(request: Request, pace: Pace, max_size: int) -> Body:
    """The request's body, not one byte of it read yet.

    Raises TooLarge when Content-Length already says so, UnsupportedMediaType for a compressed body.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("a compressed body is not taken; send it as it is")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_size:
        raise TooLarge(f"the body is larger than {max_size} bytes")
    return Body(request.receive, pace, max_size)


async def read_body(request: Request, pace: Pace, max_size: int) -> bytes:
    """The whole body, in memory. Raises as `open_body` and `Body` do."""
    whole = bytearray()
    async for piece in open_body(request, pace, max_size):
        whole += piece
    return bytes(whole)
