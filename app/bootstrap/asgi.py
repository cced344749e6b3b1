"""The web server's process: the API and the queue's dashboard on the services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from app.api import create_app
from app.api.http_protocol import BoundedHttpProtocol
from app.api.v1.submissions import submission_parts
from app.bootstrap.queue import redis_url
from app.bootstrap.services import open_services
from app.bootstrap.workflows import check_workflows_or_exit
from app.core import collector
from app.core import logging as log_format
from app.core.settings import Settings, settings_or_exit
from app.services import Services
from app.web import install as install_pages


def application() -> FastAPI:
    """The application: settings are read and checked now, services are opened when it starts to serve."""
    settings = settings_or_exit()
    check_workflows_or_exit(settings)
    log_format.configure(settings.log_level, settings.log_format)
    BoundedHttpProtocol.header_timeout = settings.header_timeout
    dashboard = LazyDashboard(settings) if settings.rq_dashboard else None
    app = create_app(lambda: _settled(open_services(settings, dashboard)))
    install_pages(app, read_parts=submission_parts)
    return app


@asynccontextmanager
async def _settled(opening: AbstractAsyncContextManager[Services]) -> AsyncIterator[Services]:
    """The services, when all is loaded."""
    async with opening as services:
        collector.settle()
        yield services


class LazyDashboard:
    """RQ Dashboard, made when somebody looks at it: Flask costs a third of a second of every start."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        await self._made(scope, receive, send)

    def _make(self) -> Any:
        from app.infrastructure.dashboard_rq import dashboard  # noqa: PLC0415 - see above

        settings = self._settings
        return dashboard(redis_url(settings), settings.queue_name, write=settings.rq_dashboard_write)
