"""Every call that steps make to the outside: timed, tried again, capped by host, cut off while it fails, and counted."""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.messages.base import Event
from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import CLOSED, OPENED, OpenedState

from app.core.metrics import TOOL_CALLS, TOOL_LATENCY, TOOLS_CUT_OFF, TOOLS_CUT_OFF_AT
from app.domain.errors import ToolRefused, ToolTrouble
from app.infrastructure.http_client import BROKEN
from app.infrastructure.public_address import NotPublic
from app.infrastructure.webhook_answer import retry_after

T = TypeVar("T")

MEBIBYTE = 1024 * 1024
COMPRESSED = {"gzip": 31, "deflate": 47}  # zlib's numbers; sent by servers that do not heed "identity"
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the outside is treated. `patience` is for one try; a host that failed `threshold` times in a row is left alone
    for `cool_down`. A far side's own wish to wait is heeded up to `longest_pause`, else left to the caller."""

    patience: timedelta = timedelta(seconds=15)
    tries: int = 3
    pause: timedelta = timedelta(milliseconds=500)
    longest_pause: timedelta = timedelta(seconds=10)
    per_host: int = 4
    threshold: int = 5
    cool_down: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A whole answer of status 2xx or 3xx."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Outside:
    """Shared by all tools of a process. Belongs to the event loop that first uses it."""

    def __init__(self, client: httpx.AsyncClient, manners: Manners | None = None) -> None:
        self._client, self._manners = client, manners or Manners()
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(self._manners.per_host)
        )
        self._tools: dict[str, str] = {}  # which tool a host belongs to, for the figures
        self._open: set[str] = set()
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=self._manners.threshold,
            default_ttl=self._manners.cool_down.total_seconds(),
            # A host that refuses is alive, and a call that we ended ourselves says nothing about it.
            exclude=[ToolRefused, asyncio.CancelledError],
        )
        self._breakers.add_listener(self._heard)

    async def call(
        self, tool: str, host: str, attempt: Callable[[], Awaitable[T]], patience: timedelta | None = None
    ) -> T:
        """What `attempt` gives. It raises ToolTrouble for what may pass, and is then made again.

        Raises ToolTrouble and ToolRefused; `tool` is how people are told who it was.
        """
        self._tools[host] = tool
        seconds = (patience or self._manners.patience).total_seconds()
        with _counted(tool):
            for tries_left in range(self._manners.tries - 1, -1, -1):
                try:
                    async with self._slots[host], self._breaker(tool, host):
                        return await _in_time(tool, attempt, seconds)
                except _CutOff:
                    raise
                except ToolTrouble as trouble:
                    pause = self._pause(trouble, tries_left)
                    if pause is None:
                        raise
                await asyncio.sleep(pause)
        raise AssertionError  # the last try returns or raises

    async def get(
        self,
        tool: str,
        url: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        longest: int = 4 * MEBIBYTE,
    ) -> Fetched:
        """One GET of an http or https address without following redirects; errors never show the address's query."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ToolRefused(f"{tool}: only http and https addresses are read")

        async def attempt() -> Fetched:
            try:
                async with self._client.stream("GET", url, params=params, headers=headers, timeout=None) as response:
                    _judge(tool, response.status_code, response.headers)
                    content = await _body(tool, response, longest)
            except BROKEN as error:
                if NotPublic.behind(error):
                    raise ToolRefused(f"{tool}: the address is not public") from None
                raise ToolTrouble(f"{tool} could not be reached ({type(error).__name__})") from error
            except httpx.InvalidURL:
                raise ToolRefused(f"{tool}: this is not an address") from None
            return Fetched(status=response.status_code, headers=response.headers, content=content)

        return await self.call(tool, parts.netloc.rpartition("@")[2], attempt)

    @asynccontextmanager
    async def _breaker(self, tool: str, host: str) -> AsyncIterator[None]:
        try:
            async with await self._breakers.get_breaker(host):
                yield
        except OpenedState as state:
            left = state.opened_at + self._manners.cool_down.total_seconds() - time.time()
            message = f"{tool} kept failing and is left alone for a moment"
            raise _CutOff(message, timedelta(seconds=max(left, 1.0))) from None

    def _pause(self, trouble: ToolTrouble, tries_left: int) -> float | None:
        """Seconds until the next try; None: this was the last."""
        if not tries_left:
            return None
        if trouble.retry_after is not None:
            return trouble.retry_after.total_seconds() if trouble.retry_after <= self._manners.longest_pause else None
        doubled = float(2 ** (self._manners.tries - 1 - tries_left))
        return self._manners.pause.total_seconds() * doubled * random.uniform(0.8, 1.2)  # noqa: S311 - no secret

    def _heard(self, host: str, _what: str, event: Event) -> None:
        if not isinstance(event, ContextChanged):
            return
        tool = self._tools.get(host, host)
        if event.state == OPENED and host not in self._open:
            self._open.add(host)
            TOOLS_CUT_OFF.labels(tool).inc()
        if event.state == OPENED and event.opened_at is not None:
            TOOLS_CUT_OFF_AT.labels(tool).set(event.opened_at)
        if event.state == CLOSED and host in self._open:
            self._open.discard(host)
            TOOLS_CUT_OFF.labels(tool).dec()


class _CutOff(ToolTrouble):
    """The breaker is open: nobody was asked, and trying at once again asks nobody either."""


@contextmanager
def _counted(tool: str) -> Iterator[None]:
    outcome, began = "gave_up", time.monotonic()
    try:
        yield
        outcome = "ok"
    except _CutOff:
        outcome = "cut_off"
        raise
    except ToolTrouble:
        outcome = "trouble"
        raise
    except ToolRefused:
        outcome = "refused"
        raise
    finally:
        TOOL_CALLS.labels(tool, outcome).inc()
        TOOL_LATENCY.labels(tool).observe(time.monotonic() - began)


async def _in_time(tool: str, attempt: Callable[[], Awaitable[T]], seconds: float) -> T:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await attempt()
    except TimeoutError:
        if not limit.expired():
            raise
        raise ToolTrouble(f"{tool} did not answer within {seconds:g} s") from None


def _judge(tool: str, status: int, headers: Mapping[str, str]) -> None:
    if status in PASSING:
        raise ToolTrouble(f"{tool} answered {status}", retry_after(headers, datetime.now(UTC)))
    if status in {401, 403}:
        raise ToolRefused(f"{tool} answered {status}: it does not let us in (a wrong or missing key?)")
    if status >= 400:
        raise ToolRefused(f"{tool} answered {status}")


async def _body(tool: str, response: httpx.Response, longest: int) -> bytes:
    """At most `longest` bytes, on the wire and unpacked."""
    raw = bytearray()
    async for piece in response.aiter_raw():
        raw += piece
        if len(raw) > longest:
            raise _too_long(tool, longest)
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding == "identity":
        return bytes(raw)
    if coding not in COMPRESSED:
        raise ToolRefused(f"{tool} answered in an encoding that was not asked for ({coding[:20]})")
    try:
        content = zlib.decompressobj(COMPRESSED[coding]).decompress(bytes(raw), longest + 1)
    except zlib.error:
        raise ToolTrouble(f"{tool} sent a broken answer") from None
    if len(content) > longest:
        raise _too_long(tool, longest)
    return content


def _too_long(tool: str, longest: int) -> ToolRefused:
    return ToolRefused(f"{tool} answered with more than {longest // MEBIBYTE} MiB")
