"""The HTTP side: routes under /api/v1, health, metrics, the guarded dashboard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from app.api.dashboard import GuardedDashboard, to_dashboard
from app.api.middleware import Lingering, RequestContext
from app.api.openapi import describe
from app.api.problems import install_problems
from app.api.quick import Shortcuts
from app.api.v1 import (
    act,
    callbacks,
    events,
    files,
    health,
    jobs,
    metrics,
    profiles,
    queue,
    receipts,
    reports,
    research,
    schedules,
    workflows,
)
from app.api.v1.callback_payload import JobCallbackPayload
from app.api.v1.channels import Channels
from app.api.v1.outcomes import Bodies
from app.api.v1.submissions import UploadGate
from app.services import Services

# Each is asked in turn whether a request is its own: the most read stand first.
_ROUTERS = (
    jobs.router,
    profiles.router,
    act.router,
    files.router,
    events.router,
    callbacks.router,
    workflows.router,
    schedules.router,
    reports.router,
    queue.router,
    receipts.router,
    health.router,
    metrics.router,
    research.router,
    research.celery,
)


def create_app(open_services: Callable[[], AbstractAsyncContextManager[Services]]) -> FastAPI:
    """The application. It opens its services when it is started and closes them when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as services:
            app.state.services, app.state.uploads, app.state.bodies = services, UploadGate(), Bodies()
            app.state.channels = Channels(services)
            yield

    app = FastAPI(
        title="Callslip",
        version="1",
        description="A durable front door for slow workflows.",
        lifespan=lifespan,
        docs_url=None,  # its assets would come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked for at every request, used by nobody
    )
    for router in _ROUTERS:  # complete as they are: each included one would match every path twice
        app.router.routes.extend(router.routes)
    app.add_api_route("/rq", to_dashboard, include_in_schema=False)
    app.mount("/rq", GuardedDashboard())
    install_problems(app)
    describe(app, {"JobCallbackPayload": JobCallbackPayload})
    app.add_middleware(Shortcuts, shortcuts=[jobs.SUBMIT, jobs.LOOK, callbacks.USUAL])
    app.add_middleware(Lingering)
    app.add_middleware(RequestContext)
    return app
