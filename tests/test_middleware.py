"""What a request passes on its way. One middleware of Starlette's `BaseHTTPMiddleware` kind would cost an upload more
processor time than everything else that the application does for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Mount, Route

from app.api import create_app
from app.api.dashboard import GuardedDashboard
from app.api.middleware import Lingering, RequestContext
from app.api.v1.submissions import submission_parts
from app.web import install


@pytest.fixture
def application() -> FastAPI:
    """API and pages as they are served, not started."""
    app = create_app(lambda: pytest.fail("nothing is to be opened"))
    install(app, read_parts=submission_parts)
    return app


def layers(app: Any) -> Iterator[Any]:
    """Everything that a request to this application may pass: middleware, routers, routes, mounted applications."""
    seen, left = list[Any](), [app]
    while left:
        one = left.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        if isinstance(one, Starlette):
            left.append(one.build_middleware_stack())
        left += [getattr(one, name, None) for name in ("app", "_app", "original_router")]
        left += getattr(one, "routes", None) or []


def slow_ones(app: Any) -> list[Any]:
    return [one for one in layers(app) if isinstance(one, BaseHTTPMiddleware)]


def test_no_request_passes_a_base_http_middleware(application):
    kinds = {type(one) for one in layers(application)}
    assert {ServerErrorMiddleware, RequestContext, Lingering, GuardedDashboard} <= kinds  # it was looked behind all
    assert slow_ones(application) == []


async def hello(_request: Any) -> None:
    return None


def _on_the_application(app: FastAPI) -> None:
    app.add_middleware(BaseHTTPMiddleware, dispatch=hello)


def _on_a_mounted_application(app: FastAPI) -> None:
    mounted = Starlette()
    mounted.add_middleware(BaseHTTPMiddleware, dispatch=hello)
    app.router.routes.append(Mount("/mounted", mounted))


def _around_one_route(app: FastAPI) -> None:
    route = Route("/one", hello)
    route.app = BaseHTTPMiddleware(route.app, dispatch=hello)
    app.router.routes.append(route)


@pytest.mark.parametrize("add", [_on_the_application, _on_a_mounted_application, _around_one_route])
def test_one_would_be_found_wherever_it_is_added(application, add):
    add(application)
    assert len(slow_ones(application)) == 1
