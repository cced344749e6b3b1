"""Routes that answer the usual request without FastAPI's solver, which costs several times what such an answer does.

Whatever is not an ordinary good request goes through FastAPI as it is declared, and so is refused, validated and
described in one place only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import problem_for
from app.domain.errors import CallslipError

Usual = Callable[[Request], Awaitable[Response] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """The usual requests of a route, which takes the others itself."""

    route: Route
    usual: Usual


def shortcut(router: APIRouter, usual: Usual) -> Shortcut:
    """The shortcut of the route that was added to the router last."""
    route = router.routes[-1]
    assert isinstance(route, Route)  # noqa: S101 - what a router's methods add
    return Shortcut(route=route, usual=usual)


class Shortcuts:
    """Answers usual requests before the layers of FastAPI and Starlette that find a route, keep its context and turn
    errors into answers. Those cost as much as reading a form of 100 KB."""

    def __init__(self, app: ASGIApp, shortcuts: Iterable[Shortcut]) -> None:
        self._app = app
        self._shortcuts = tuple(shortcuts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        shortcut = self._shortcut(scope) if scope["type"] == "http" else None
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

    def _shortcut(self, scope: Scope) -> Shortcut | None:
        method, path = scope["method"], scope["path"]
        for shortcut in self._shortcuts:
            found = shortcut.route.path_regex.match(path) if method in (shortcut.route.methods or ()) else None
            if found:
                scope["path_params"] = found.groupdict()
                return shortcut
        return None
