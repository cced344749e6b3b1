"""The application, asked in process."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from app.domain.models import JobId
from tests.api.description import described
from tests.api.world import AUTH, World

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0\x1f\x15\xc4\x89" + b"\0" * 64


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
async def api(world):
    """A client with a valid key; `world.services` is open as long as it is."""
    app = world.app()
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        hooks = {"response": [described().check]}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://callslip.test", headers=AUTH, event_hooks=hooks
        ) as client:
            yield client


@pytest.fixture
def png():
    return PNG


@pytest.fixture
async def job_id(api, png):
    """A job that was handed in just now."""
    answer = await api.post("/api/v1/jobs", files={"file": ("receipt.png", png)})
    assert answer.status_code == 202, answer.text
    return JobId(UUID(answer.json()["job_id"]))
