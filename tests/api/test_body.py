"""The pace and size of a body."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from starlette.requests import Request

from app.api.body import Body, Pace, open_body, read_body
from app.domain.errors import Malformed, TooLarge, TooSlow, UnsupportedMediaType

PACE = Pace(min_rate=1000, rate_window=timedelta(milliseconds=200), idle_timeout=timedelta(milliseconds=150))


def receive_from(pieces, pause=0.0, end=True):
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b""} if end else {"type": "http.disconnect"})

    async def receive():
        await asyncio.sleep(pause)
        return messages.pop(0)

    return receive


def request(receive, **headers):
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs}, receive)


async def test_a_steady_body_comes_through_whole():
    assert await read_body(request(receive_from([b"ab", b"", b"c"])), PACE, 10) == b"abc"


async def test_a_body_that_stops_is_too_slow():
    with pytest.raises(TooSlow):
        await read_body(request(receive_from([b"a"], pause=0.3)), PACE, 10)


async def test_a_body_that_drips_is_too_slow():
    with pytest.raises(TooSlow):
        await read_body(request(receive_from([b"a"] * 50, pause=0.02)), PACE, 100)


async def test_time_that_we_take_is_not_the_clients():
    body = Body(receive_from([b"a"] * 5), PACE, 10)
    async for _ in body:
        await asyncio.sleep(0.1)


async def test_a_body_over_its_limit_is_refused_at_the_limit():
    body = Body(receive_from([b"x" * 4] * 100), PACE, 10)
    assert [await anext(body), await anext(body)] == [b"xxxx", b"xxxx"]
    with pytest.raises(TooLarge):
        await anext(body)


async def test_a_length_over_the_limit_is_refused_before_the_first_byte():
    with pytest.raises(TooLarge):
        open_body(request(None, content_length="11"), PACE, 10)
    with pytest.raises(TooLarge):
        open_body(request(None, content_length="9" * 400), PACE, 10)


async def test_a_client_that_goes_leaves_a_malformed_body():
    with pytest.raises(Malformed):
        await read_body(request(receive_from([b"a"], end=False)), PACE, 10)


async def test_a_compressed_body_is_not_taken():
    with pytest.raises(UnsupportedMediaType):
        open_body(request(None, content_encoding="gzip"), PACE, 10)
    open_body(request(None, content_encoding="identity"), PACE, 10)
