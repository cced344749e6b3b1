"""Connections that drip their headers, or send too many, are closed; everybody else is served."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from app.api.http_protocol import MOST_HEADER_BYTES, PUSH, BoundedHttpProtocol, chunk
from app.api.problems import Problem


class Hasty(BoundedHttpProtocol):
    """With a deadline that a test can wait for."""

    header_timeout = timedelta(seconds=0.3)


async def hello(scope: dict[str, object], receive: object, send: object) -> None:
    assert callable(send)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def pushing(scope: dict[str, Any], _receive: object, send: Any) -> None:
    """Pushes numbered chunks until the client is too slow for more, then waits for it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    number = 0
    while scope["extensions"][PUSH](chunk(b"%09d;" % number * 1000)):
        number += 1
    await send({"type": "http.response.body", "body": b"%d in all" % number, "more_body": False})


@asynccontextmanager
async def served(app: Any = hello) -> AsyncIterator[int]:
    config = uvicorn.Config(app, http=Hasty, lifespan="off", log_config=None, access_log=False)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


async def answers(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_headers_that_drip_are_ended_at_the_deadline() -> None:
    async with served() as port:
        began = time.monotonic()
        answer = await answers(port, b"G", b"E", pause=0.1)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408
        assert time.monotonic() - began < 2


async def test_a_connection_that_says_nothing_is_ended_too() -> None:
    async with served() as port:
        assert (await answers(port)).startswith(b"HTTP/1.1 408 ")


async def test_headers_beyond_the_bound_are_refused() -> None:
    async with served() as port:
        flood = b"GET / HTTP/1.1\r\nHost: x\r\nX-Flood: " + b"a" * (MOST_HEADER_BYTES + 10)
        assert (await answers(port, flood)).startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_http_is_a_problem() -> None:
    async with served() as port:
        answer = await answers(port, b"\x16\x03\x01 not http\r\n\r\n")
    assert b"application/problem+json" in answer
    assert b"\r\nx-request-id: " in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET / HT", 408), (b"GET / HTTP/1.1\r\nX: " + b"a" * MOST_HEADER_BYTES, 431), (b"not http\r\n\r\n", 400)],
    ids=["dripping", "too long", "not HTTP"],
)
async def test_a_refusal_before_there_is_a_request_has_the_form_of_every_problem(sent: bytes, status: int) -> None:
    async with served() as port:
        answer = await answers(port, sent)
    told = Problem.model_validate_json(answer.partition(b"\r\n\r\n")[2], strict=True, extra="forbid")
    assert (told.status, told.instance) == (status, "")


async def test_a_second_request_on_the_connection_has_its_own_deadline() -> None:
    async with served() as port:
        request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await answers(port, request, request, b"GET / HT", pause=0.2)
    assert answer.count(b"hello") == 2
    assert b"HTTP/1.1 408 " in answer


async def test_what_is_pushed_arrives_in_order_until_the_client_is_too_slow() -> None:
    async with served(pushing) as port, httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/", timeout=10)).text
    *pieces, last = text.split(";")
    count = int(last.removesuffix(" in all"))
    assert count > 0
    assert pieces == [f"{number:09d}" for number in range(count) for _ in range(1000)]
