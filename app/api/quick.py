"""Routes that answer the usual request without FastAPI's solver, which costs several times what such an answer does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import problem_for
from app.domain.errors import CallslipError

Usual = Callable[[Request], Awaitable[Response] | None]


def quick(usual: Usual) -> type[APIRoute]:
    """A class of routes that ask `usual` first. It gives None for whatever is not an ordinary good request: that goes
    through FastAPI as it is declared, and so is refused, validated and described in one place only."""

    class QuickRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            solve = super().get_route_handler()

            async def handle(request: Request) -> Response:
                return await (usual(request) or solve(request))

            return handle

    return QuickRoute


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """The usual requests of a route whose path has no parameters; `route` takes the others."""

    route: BaseRoute
    method: str
    path: str
    usual: Usual


class Shortcuts:
    """Answers usual requests before the layers of FastAPI and Starlette that find a route, keep its context and turn
    errors into answers. Those cost as much as reading a form of 100 KB."""

    def __init__(self, app: ASGIApp, shortcuts: Iterable[Shortcut]) -> None:
        self._app = app
        self._shortcuts = {(one.method, one.path): one for one in shortcuts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        shortcut = self._shortcuts.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        request = Request(scope, receive, send) if shortcut else None
        usual = shortcut.usual(request) if shortcut and request else None
        if shortcut is None or usual is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = shortcut.route  # whoever counts and logs wants to know
        try:
            response = await usual
        except CallslipError as error:
            response = problem_for(scope["path"], error)
        await response(scope, receive, send)
