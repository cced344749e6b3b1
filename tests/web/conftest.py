"""The pages beside the API on memory adapters, asked as a browser asks, in process."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.api.v1.submissions import submission_parts
from app.domain.models import JobId
from app.domain.signing import Scope
from app.web import install
from tests.api.world import AUTH, KEY, World

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OURS = {"Sec-Fetch-Site": "same-origin"}


class Site(World):
    """The world with its pages."""

    def app(self) -> FastAPI:
        app = super().app()
        install(app, read_parts=submission_parts)
        return app

    def link(self, job_id: JobId, suffix: str = "") -> str:
        return f"/jobs/{job_id}{suffix}?token={self.token(Scope.PAGE, job_id)}"


@pytest.fixture
def world(tmp_path):
    return Site(tmp_path)


@pytest.fixture
async def browser(world):
    """Somebody who is not logged in; `world.services` is open as long as they look."""
    app = world.app()
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://callslip.test", headers=BROWSER) as client:
            yield client


@pytest.fixture
async def operator(browser):
    """Somebody who is logged in."""
    answer = await browser.post("/login", data={"key": KEY}, headers=OURS)
    assert answer.status_code == 303, answer.text
    return browser


@pytest.fixture
async def job_id(browser):
    """A job that was handed in just now."""
    files = {"file": ("receipt.txt", b"12 coffees, 34.00")}
    answer = await browser.post("/api/v1/jobs", files=files, headers=AUTH)
    assert answer.status_code == 202, answer.text
    return JobId(UUID(answer.json()["job_id"]))
