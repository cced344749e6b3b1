"""The queue's dashboard, for who has an API key: as a bearer token, as the password to any user name, or logged in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.auth import client_of
from app.api.problems import problem
from app.services import Services

# Whether a browser's session is one of ours.
LoggedIn: TypeAlias = Callable[[Request, Services], Awaitable[bool]]

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Callslip", charset="UTF-8"'}


class GuardedDashboard:
    """Passes authenticated requests on to the dashboard that the services hold, if they hold one.

    Where the application has pages, their log-in opens it too: they leave a `LoggedIn` in `app.state.logged_in`.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        services: Services = scope["app"].state.services
        dashboard: ASGIApp | None = services.dashboard
        if scope["type"] != "http" or dashboard is None:
            answer: ASGIApp = problem(scope["path"], 404, "there is no dashboard here")
        else:
            answer = await _refusal(scope, services) or dashboard
        await answer(scope, receive, send)


async def _refusal(scope: Scope, services: Services) -> ASGIApp | None:
    headers, request = Headers(scope=scope), Request(scope)
    if client_of(services, _key(headers.get("authorization", ""))) is not None:
        return None
    logged_in: LoggedIn | None = getattr(scope["app"].state, "logged_in", None)
    if logged_in is not None and await logged_in(request, services):
        return None
    if logged_in is not None and "authorization" not in headers and "text/html" in headers.get("accept", ""):
        return RedirectResponse(f"/login?next={quote(request.url.path, safe='/')}", 303)
    detail = "this needs an API key, as the password or as a bearer token"
    return problem(scope["path"], 401, detail, slug="not-authentic", headers=_CHALLENGE)


async def to_dashboard() -> RedirectResponse:
    """The dashboard's links are relative to a folder."""
    return RedirectResponse("/rq/", 308)


def _key(authorization: str) -> str:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    try:
        return base64.b64decode(given if scheme.lower() == "basic" else "").decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
