"""How effects are performed, in either colour: with httpx, the clock and the disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from importlib import metadata
from typing import Any

import httpx

from callslip_client import wire
from callslip_client.errors import ConnectionFailed, Misused
from callslip_client.flows import Do, Effect, Flows, Open, Pause, Send
from callslip_client.uploads import Upload
from callslip_client.wire import Answer, Request

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_TIMEOUT = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Connection:
    """What both clients know: where the service is, how to speak to it, and how to tell what went wrong."""

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, patience: float = 30.0, timeout: float = 30.0
    ) -> None:
        self.url = _address(url or os.environ.get("CALLSLIP_URL") or DEFAULT_URL)
        self.flows, self._timeout = Flows(patience), timeout
        authorization = wire.authorization(api_key or os.environ.get("CALLSLIP_API_KEY"))
        self.has_key = bool(authorization)
        self.options: dict[str, Any] = {
            "headers": {"User-Agent": f"callslip-client/{_version()}", **authorization},
            "trust_env": httpx.URL(self.url).host not in _LOOPBACK,  # no proxy stands between a machine and itself
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def prepared(self, client: httpx.Client | httpx.AsyncClient, request: Request, content: Any) -> httpx.Request:
        """The request as httpx sends it."""
        headers, upload = dict(request.headers), request.body
        if upload is not None:
            headers |= {"Content-Type": upload.content_type, "Content-Length": str(upload.length)}
        timeout = httpx.Timeout(self._timeout + request.patience, connect=min(CONNECT_TIMEOUT, self._timeout))
        url, query = self.url + request.path, request.query or None
        return client.build_request(
            request.method, url, params=query, headers=headers, content=content, timeout=timeout
        )

    def failed(self, error: httpx.HTTPError) -> ConnectionFailed:
        """What went wrong, in words."""
        arrived = not isinstance(error, _NOT_SENT)
        if isinstance(error, httpx.TimeoutException):
            return ConnectionFailed(f"{self.url} did not answer in time", may_have_arrived=arrived)
        what = f"the connection to {self.url} broke" if arrived else f"{self.url} cannot be reached"
        return ConnectionFailed(f"{what}: {str(error).strip() or type(error).__name__}", may_have_arrived=arrived)


class Hands:
    """Performs effects in the ordinary way. What is open stays open from one effect to the next."""

    def __init__(self, connection: Connection, http: httpx.Client) -> None:
        self._connection, self._http = connection, http
        self._open: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def perform(self, effect: Effect) -> object:
        """What came of it; a connection that failed is a result too."""
        match effect:
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Do(work):
                return work()
        try:
            return self._talk(effect)
        except httpx.HTTPError as error:
            return self._connection.failed(error)

    def close(self) -> None:
        """Closes what is open."""
        if self._open is not None:
            self._open.close()

    def _talk(self, effect: Effect) -> object:
        match effect:
            case Send(request):
                return _answer_of(self._http.send(self._prepared(request)))
            case Open(request):
                self.close()
                self._open = self._http.send(self._prepared(request), stream=True)
                self._pieces = self._open.iter_bytes()
                if not self._open.is_success:
                    self._open.read()
                return _answer_of(self._open)
            case _:
                return next(self._pieces, b"")

    def _prepared(self, request: Request) -> httpx.Request:
        return self._connection.prepared(self._http, request, _body(request.body) if request.body else None)


class AsyncHands:
    """Performs effects on asyncio; the disk is worked on in threads."""

    def __init__(self, connection: Connection, http: httpx.AsyncClient) -> None:
        self._connection, self._http = connection, http
        self._open: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def perform(self, effect: Effect) -> object:
        """What came of it; a connection that failed is a result too."""
        match effect:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Do(work):
                return await asyncio.to_thread(work)
        try:
            return await self._talk(effect)
        except httpx.HTTPError as error:
            return self._connection.failed(error)

    async def aclose(self) -> None:
        """Closes what is open."""
        if self._open is not None:
            await self._open.aclose()

    async def _talk(self, effect: Effect) -> object:
        match effect:
            case Send(request):
                return _answer_of(await self._http.send(self._prepared(request)))
            case Open(request):
                await self.aclose()
                self._open = await self._http.send(self._prepared(request), stream=True)
                self._pieces = self._open.aiter_bytes()
                if not self._open.is_success:
                    await self._open.aread()
                return _answer_of(self._open)
            case _:
                return await anext(self._pieces, b"") if self._pieces else b""

    def _prepared(self, request: Request) -> httpx.Request:
        return self._connection.prepared(self._http, request, _async_body(request.body) if request.body else None)


def _body(upload: Upload) -> Iterator[bytes]:
    sent = 0
    for piece in upload.pieces():
        yield piece
        sent += len(piece)
        upload.told(sent)


async def _async_body(upload: Upload) -> AsyncIterator[bytes]:
    sent, pieces = 0, upload.pieces()
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
        sent += len(piece)
        upload.told(sent)


def _answer_of(response: httpx.Response) -> Answer:
    """What came back, without its body where that is still to come."""
    body = response.content if response.is_closed else b""
    return Answer(
        status=response.status_code, headers={key.lower(): value for key, value in response.headers.items()}, body=body
    )


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise Misused("the address of the service must look like http://host:port, with nothing but a path behind it")
    return str(parsed).rstrip("/")


def _version() -> str:
    try:
        return metadata.version("callslip")
    except metadata.PackageNotFoundError:  # run from its source
        return "source"
