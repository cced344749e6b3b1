"""The one HTTP client towards far sides, and the one way to send with it.

It is httpx's, over a session of aiohttp. `exchange` speaks to that session itself: of what httpx does to a request and an
answer on the way (merging, authentication, redirects, cookies) nothing is wanted here, and it costs a third of a delivery.

No redirects, no cookies, no proxies from the environment, bounded answers. The transport's exceptions say too little
(a connection broken after the body maps to a connect time-out), so what may have run is judged by the bytes that were
handed to the transport: until its last byte is, no far side can hold the whole body.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import NoReturn, Protocol, cast

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from httpx_aiohttp import AiohttpTransport

from app.domain.errors import DeliveryTrouble, Misconfigured
from app.domain.lifecycle import TroubleKind
from app.infrastructure.public_address import public_socket

LONGEST_ANSWER = 64 * 1024
# n8n closes an idle connection after 5 s; one that we close first is never found dead by a delivery.
KEEPALIVE_SECONDS = 4.0
# A compressed answer could be small on the wire and huge when read.
ALWAYS = {"Accept": "*/*", "Accept-Encoding": "identity"}
NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
BROKEN = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)


class Payload(Protocol):
    """A body of known length that is made while it is sent."""

    @property
    def length(self) -> int:
        """How many bytes `batches` gives."""
        ...

    @property
    def content_type(self) -> str:
        """The media type, with its parameters."""
        ...

    def batches(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The bytes, from the beginning; those of a batch are handed on without a pause in between."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """A payload that is small enough to be held."""

    content: bytes
    content_type: str = "application/json"

    @property
    def length(self) -> int:
        return len(self.content)

    async def batches(self) -> AsyncGenerator[Sequence[bytes], None]:
        yield (self.content,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a far side answered; names of `headers` are in small letters, `text` is the beginning of the body, `cut` says
    that the body broke off."""

    status: int
    headers: Mapping[str, str]
    text: str
    cut: bool


class _Transport(AiohttpTransport):
    @property
    def session(self) -> aiohttp.ClientSession:
        """The session; made by whoever comes first."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        return self.client


class FarClient(httpx.AsyncClient):
    """httpx's client, and the session below it."""

    def __init__(self, transport: _Transport) -> None:
        super().__init__(
            transport=transport,
            headers=ALWAYS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )
        self._below = transport

    @property
    def session(self) -> aiohttp.ClientSession:
        """Belongs to the running loop."""
        return self._below.session


def build_client(*, verify: bool, ca_file: Path | None, connections: int, allow_private: bool = True) -> FarClient:
    """The client for all far sides. `ca_file` is trusted in addition to the public authorities. Without
    `allow_private` it connects to public addresses only, whatever a name resolves to.

    It belongs to the event loop that first uses it. Raises Misconfigured when the file holds no certificates.
    """
    if ca_file is not None:
        _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)

    def session() -> aiohttp.ClientSession:
        # The public authorities take a moment and a megabyte: only whoever sends something has them.
        context = httpx.create_ssl_context(verify=verify, trust_env=False)
        if ca_file is not None:
            _trust(context, ca_file)
        connector = aiohttp.TCPConnector(
            limit=connections,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=context,
            socket_factory=None if allow_private else public_socket,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    # The session brings a context of its own.
    return FarClient(_Transport(verify=False, trust_env=False, client=session))


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:
        raise Misconfigured([f"the CA file {ca_file} cannot be used: {error.strerror or error}"]) from None


async def exchange(
    client: FarClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    patience: timedelta,
    payload: Payload | None = None,
    longest: int = LONGEST_ANSWER,
) -> Answer:
    """Sends one request and reads at most `longest` bytes of the answer. `patience` is for each step without progress,
    and for the whole answer once it has begun.

    Raises DeliveryTrouble: NO_ANSWER when the whole payload was handed over, else UNAVAILABLE; and whatever making
    the payload raises.
    """
    seconds = patience.total_seconds()
    try:
        async with asyncio.timeout(seconds) as limit:
            upload = _Upload(payload, limit, seconds)
            response = await client.session.request(
                method,
                url,
                headers=ALWAYS | upload.headers(headers),
                data=upload.body,
                allow_redirects=False,
                auto_decompress=False,
                timeout=NO_TIMEOUT,
            )
    except BROKEN as error:
        if upload.failure is not None:
            raise upload.failure from None
        raise upload.trouble(error) from error
    return await _read(response, seconds, longest)


class _Upload:
    """Watches a payload on its way into the transport."""

    def __init__(self, payload: Payload | None, limit: asyncio.Timeout, seconds: float) -> None:
        self._payload, self._handed_over = payload, payload is None
        self._limit, self._seconds = limit, seconds
        self.body = None if payload is None else _Body(payload, self)
        self.failure: Exception | None = None

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        if self._payload is None:
            return dict(headers)
        own = {"Content-Type": self._payload.content_type, "Content-Length": str(self._payload.length)}
        return {**headers, **own}

    async def write(self, payload: Payload, writer: StreamWriter) -> None:
        left = payload.length
        async with aclosing(self._made(payload)) as batches:
            async for batch in batches:
                for piece in batch:
                    await writer.write(piece, drain=False)
                    left -= len(piece)
                self._handed_over = left <= 0
                await writer.drain()
                self._progress()

    async def _made(self, payload: Payload) -> AsyncGenerator[Sequence[bytes], None]:
        try:
            async with aclosing(payload.batches()) as batches:
                async for batch in batches:
                    yield batch
        except Exception as error:  # the transport would hide it behind an error of its own
            self.failure = error
            raise

    def _progress(self) -> None:
        if self._limit.when() is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def trouble(self, error: BaseException) -> DeliveryTrouble:
        if isinstance(error, TimeoutError):
            step = "no answer" if self._handed_over else "no connection, or the body was not taken,"
            words = f"{step} within {self._seconds:g} s"
        else:
            words = (
                f"{'the connection broke before an answer' if self._handed_over else 'not reached'}: {_reason(error)}"
            )
        return DeliveryTrouble(TroubleKind.NO_ANSWER if self._handed_over else TroubleKind.UNAVAILABLE, words)


class _Body(aiohttp.payload.Payload):
    """What aiohttp asks for the bytes of a request. It would take an iterator, too, but wait after each of its pieces."""

    _autoclose = True

    def __init__(self, payload: Payload, upload: _Upload) -> None:
        super().__init__(payload, content_type=payload.content_type)
        self._upload = upload

    def decode(self, *_: str) -> NoReturn:
        raise TypeError("a body that is made while it is sent is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._consumed = True
        await self._upload.write(self._value, cast("StreamWriter", writer))


async def _read(response: aiohttp.ClientResponse, seconds: float, longest: int) -> Answer:
    body, cut = bytearray(), False
    try:
        async with asyncio.timeout(seconds):
            async for piece in response.content.iter_any():
                body += piece
                if len(body) >= longest:
                    break
    except BROKEN:
        cut = True
    finally:
        await _close(response)
    text = bytes(body[:longest]).decode("utf-8", "replace")
    return Answer(status=response.status, headers=_headers(response), text=text, cut=cut)


async def _close(response: aiohttp.ClientResponse) -> None:
    """Gives the connection back. What breaks now no longer matters: the answer is here."""
    try:
        async with asyncio.timeout(1):
            response.release()
            await response.wait_for_close()
    except BROKEN:
        return


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in response.raw_headers:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _reason(error: BaseException) -> str:
    """The system's own words at the bottom of an exception; never the address, whose path may be a secret."""
    reason = type(error).__name__
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and not isinstance(below, aiohttp.ClientError):
            reason = _system_words(below)
        below = below.__cause__ or getattr(below, "os_error", None) or getattr(below, "certificate_error", None)
    return "the far side closed it" if reason in ("ConnectTimeout", "ServerDisconnectedError") else reason


def _system_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message})"
    known = not isinstance(error, ssl.SSLError) and error.errno is not None and error.errno > 0
    return os.strerror(error.errno or 0) if known else error.strerror or type(error).__name__
