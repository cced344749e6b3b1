"""uvicorn's HTTP protocol with what it lacks: a deadline and a bound for request headers, problems for bad ones, and a
way to write to many open answers at once.

Use it as `uvicorn main:app --http app.api.http_protocol:BoundedHttpProtocol`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 64 * 1024
# An extension of ASGI, in the scope's `extensions`: writes a `chunk` of an answer that has begun and has no length, now
# and without a turn of its task. False where the client is too slow or gone: then nothing was written.
PUSH = "callslip.push"
Push = Callable[[bytes], bool]


def chunk(body: bytes) -> bytes:
    """The bytes as they go over the wire in an answer of unknown length; they must not be empty."""
    return b"%x\r\n%b\r\n" % (len(body), body)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Ends a connection whose request headers do not arrive within `header_timeout`, counted from the connection or
    from the first byte of a later request, or that are larger than `MOST_HEADER_BYTES`."""

    header_timeout: ClassVar[timedelta] = timedelta(seconds=10)

    _deadline: asyncio.TimerHandle | None = None
    _heading = False  # the headers of a request are still coming
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heading = True
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._heading:
            self._header_bytes += len(data)
        super().data_received(data)
        if not self._heading:
            return
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's headers are too large")
        elif self._deadline is None:  # most requests come in one piece and need no clock
            self._arm()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {PUSH: self._push}  # type: ignore[dict-item]  # ASGI leaves their form to servers
        if not self._heading:
            self._heading, self._header_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._heading = False
        self._disarm()
        super().on_headers_complete()

    def _push(self, chunk: bytes) -> bool:
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(chunk)
        return True

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout.total_seconds(), self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request's headers did not arrive in time")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._heading = False
        self._disarm()
        if self.transport.is_closing():
            return
        # There is no address yet that could be named: an empty reference is the request itself (RFC 3986, 4.4).
        problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail, "instance": ""}
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {secrets.token_hex(12)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
