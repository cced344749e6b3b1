"""Routes that answer the usual request without FastAPI's solver, which costs several times what such an answer does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


def quick(usual: Callable[[Request], Awaitable[Response] | None]) -> type[APIRoute]:
    """A class of routes that ask `usual` first. It gives None for whatever is not an ordinary good request: that goes
    through FastAPI as it is declared, and so is refused, validated and described in one place only."""

    class QuickRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            solve = super().get_route_handler()

            async def handle(request: Request) -> Response:
                return await (usual(request) or solve(request))

            return handle

    return QuickRoute
