"""The played service, and the client in both colours behind one face."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from callslip_client import AsyncCallslip, Callslip
from tests.client.service import KEY, Service, serving


class Blocking:
    """An AsyncCallslip that is called like a Callslip, on a loop of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._inner = AsyncCallslip(*arguments, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found = method(*arguments, **options)
            return self._runner.run(found) if inspect.iscoroutine(found) else self._each(found)

        return call

    def _each(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(items, None)

        while (item := self._runner.run(following())) is not None:
            yield item

    def close(self) -> None:
        self._runner.run(self._inner.aclose())
        self._runner.close()


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture(params=[Callslip, Blocking], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest, service: Service) -> Iterator[Callable[..., Callslip]]:
    """Makes clients of one colour, and closes them."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(request.param(**{"url": service.url, "api_key": KEY, "patience": 5.0, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def callslip(connect: Callable[..., Callslip]) -> Callslip:
    return connect()
