"""Answers that take their time: they notice when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from starlette.types import Receive

from app.domain.protocols import Watch


@asynccontextmanager
async def departure(receive: Receive) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done as soon as the client has gone; it ends with the context."""
    gone = asyncio.create_task(_gone(receive))
    try:
        yield gone
    finally:
        gone.cancel()
        await asyncio.wait({gone})


async def heard(ear: Watch, gone: asyncio.Task[None], at_most: timedelta) -> bool:
    """Whether the ear heard something within this time, while the client was there."""
    waiting = asyncio.create_task(ear.wait(at_most))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.done() and waiting.result()
    finally:
        waiting.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
