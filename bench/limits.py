"""Bare ASGI applications: what the machine and the web server allow, with nothing of a product on top."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastapi import FastAPI

STORE = Path(os.environ.get("LIMIT_STORE", "."))
ANSWER = b'{"job_id":"00000000-0000-0000-0000-000000000000"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
_pool = ThreadPoolExecutor(8)


async def _lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def to_file(scope: Any, receive: Any, send: Any) -> None:
    """The body into a file as it comes, unparsed; fsynced in a thread; renamed."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    name = str(uuid.uuid4())
    descriptor = os.open(STORE / f".{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        os.write(descriptor, message["body"])
        more = message.get("more_body", False)
    await asyncio.get_running_loop().run_in_executor(_pool, os.fsync, descriptor)
    os.close(descriptor)
    (STORE / f".{name}").rename(STORE / name)
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


async def to_hashed_file(scope: Any, receive: Any, send: Any) -> None:
    """The body into a file and through SHA-256, unparsed, not fsynced; a GET is answered at once."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["method"] == "POST":
        await _hash(receive)
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


async def _hash(receive: Any) -> None:
    digest, more = hashlib.sha256(), True
    with (STORE / str(uuid.uuid4())).open("xb", buffering=0) as file:
        while more:
            message = await receive()
            digest.update(message["body"])
            file.write(message["body"])
            more = message.get("more_body", False)


route = FastAPI()


@route.get("/jobs/{job_id}")
async def job(job_id: str) -> dict[str, str]:
    """A route with a parameter in its path and without a database."""
    return {"job_id": job_id}
