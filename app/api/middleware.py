"""What wraps every request, as plain ASGI: its id, figures, log line, headers, last resort, and a patient good-bye."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any

from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem
from app.core.logging import bound
from app.core.metrics import REQUEST_LATENCY, REQUESTS_IN_FLIGHT

log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # links carry tokens
    (b"x-frame-options", b"DENY"),
)
_API_HEADERS = (
    *_HEADERS,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(slots=True)
class _Answer:
    """What has been sent of the answer to one request."""

    request_id: str
    began: float
    status: int = 0
    route: str = ""


class RequestContext:
    """The outermost layer: nothing gets past it, neither an unknown error nor a cancellation."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(_request_id(scope), monotonic())

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _dress(message, scope, answer)
                _measure(message, scope, answer)
            await send(message)

        REQUESTS_IN_FLIGHT.inc()
        with bound(request_id=answer.request_id):
            try:
                await self._guarded(scope, receive, send_with_headers, answer)
            finally:
                REQUESTS_IN_FLIGHT.dec()
                _log(scope, answer)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:  # only a server that goes down cancels a request
            if not answer.status:
                detail = "the service is being stopped; send it again, with the same Idempotency-Key if it had one"
                await problem(scope["path"], 503, detail, headers={"Retry-After": "5"})(scope, receive, send)
        except ClientDisconnect:  # whoever asked has gone in the middle of it: nobody to answer, and no mistake of ours
            log.info("request_cut_off", extra={"method": scope["method"], "route": answer.route or _route(scope)})
        except Exception:
            log.exception("request_failed", extra={"method": scope["method"], "route": answer.route or _route(scope)})
            if answer.status:
                raise
            detail = f"an error in the service, noted under the request id {answer.request_id}"
            await problem(scope["path"], 500, detail)(scope, receive, send)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first value of a header, without the objects that Starlette would make for it: servers give its name in lower
    case, and this is asked of every request."""
    for given, value in scope["headers"]:
        if given == name:
            return bytes(value)
    return None


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    if given and _SANE_ID.fullmatch(text := given.decode("latin-1")):
        return text
    # A name, no secret: the system's random numbers would let another thread in, and wait for their turn.
    return f"{random.getrandbits(96):024x}"


def _dress(message: Message, scope: Scope, answer: _Answer) -> None:
    given = [pair for pair in message.get("headers", ()) if pair[0] != b"x-request-id"]
    names = {name for name, _ in given}
    wanted = _API_HEADERS if scope["path"].startswith("/api/") else _HEADERS
    own = (b"x-request-id", answer.request_id.encode())
    message["headers"] = [*given, own, *(pair for pair in wanted if pair[0] not in names)]


def _measure(message: Message, scope: Scope, answer: _Answer) -> None:
    answer.status, answer.route = message["status"], _route(scope)
    _latency(_method(scope), answer.route, answer.status // 100).observe(monotonic() - answer.began)


@cache  # Prometheus makes texts of the labels, and takes a lock, each time
def _latency(method: str, route: str, hundreds: int) -> Histogram:
    return REQUEST_LATENCY.labels(method, route, f"{hundreds}xx")


def _route(scope: MutableMapping[str, Any]) -> str:
    # Templates only: a path would make a time series, and a log line, of everything that anyone ever asks for.
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or "none")


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _log(scope: Scope, answer: _Answer) -> None:
    route = answer.route or _route(scope)
    facts = {
        "method": _method(scope),
        "route": route,
        "status": answer.status,
        "milliseconds": round((monotonic() - answer.began) * 1000, 1),
    }
    level = logging.DEBUG if route.startswith(("/health", "/metrics")) else logging.INFO
    log.log(level, "request", extra=facts)


LINGER_BYTES = 256 * 1024 * 1024
LINGER_FOR = 10.0
LINGER_IDLE = 2.0


class Lingering:
    """Refusals reach a client that is still sending.

    A server that closes while bytes are coming in makes the client's kernel throw the answer away. So a refusal that
    comes before the end of the body says `Connection: close`, is sent whole, and then some of the body is read and
    dropped before the response is declared complete.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        pending, refused = True, 0

        async def watching_receive() -> Message:
            nonlocal pending
            message = await receive()
            pending = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and pending and message["status"] >= 400:
                refused = message["status"]
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not (last and refused):
                await send(message)
                return
            await send({**message, "more_body": True})
            await _drain(watching_receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def _drain(receive: Receive) -> None:
            # Who was too slow to be waited for is not waited for much longer.
            left, until = LINGER_BYTES, monotonic() + (LINGER_IDLE if refused == 408 else LINGER_FOR)
            while pending and left > 0 and monotonic() < until:
                try:
                    async with asyncio.timeout(LINGER_IDLE):
                        left -= len((await receive()).get("body", b""))
                except TimeoutError:
                    return

        await self._app(scope, watching_receive, lingering_send)


def _has_body(scope: Scope) -> bool:
    return header(scope, b"content-length") not in (None, b"0") or header(scope, b"transfer-encoding") is not None
