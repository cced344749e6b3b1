"""The queue's dashboard behind a log-in that a browser can pass: any user name, an API key as the password."""

from __future__ import annotations

import base64
import binascii

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.auth import client_of
from app.api.problems import problem
from app.services import Services

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Callslip", charset="UTF-8"'}


class GuardedDashboard:
    """Passes authenticated requests on to the dashboard that the services hold, if they hold one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        services: Services = scope["app"].state.services
        dashboard: ASGIApp | None = services.dashboard
        if scope["type"] != "http" or dashboard is None:
            answer: ASGIApp = problem(scope["path"], 404, "there is no dashboard here")
        elif client_of(services, _key(Headers(scope=scope).get("authorization", ""))) is None:
            detail = "this needs an API key, as the password or as a bearer token"
            answer = problem(scope["path"], 401, detail, slug="not-authentic", headers=_CHALLENGE)
        else:
            answer = dashboard
        await answer(scope, receive, send)


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
