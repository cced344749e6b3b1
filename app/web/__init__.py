"""The pages that people see. `install` puts them beside the API on one application."""

from __future__ import annotations

from fastapi import FastAPI

from app.web import audit_page, hand_in, login, ops, profiles, reference, rendering, schedules, ticket
from app.web.failures import install_failures
from app.web.fragments import Fragments
from app.web.gate import logged_in
from app.web.hand_in import ReadParts
from app.web.ops_chart import Day


def install(app: FastAPI, *, read_parts: ReadParts) -> None:
    """Adds every page. To be called once, after the API has installed its problems; `read_parts` is the API's way of
    reading a form as it streams in."""
    app.state.read_parts = read_parts
    app.state.fragments, app.state.day, app.state.logged_in = Fragments(), Day(), logged_in
    for part in (
        rendering.static,
        login.router,
        hand_in.router,
        ticket.router,
        ops.router,
        schedules.router,
        profiles.router,
        audit_page.router,
        reference.router,
    ):
        app.router.routes.extend(part.routes)  # as in `create_app`
    install_failures(app)
