"""The whole service on SQLite, with a folder of documents, and a client of its API.

Every answer is held against the API's own description; jobs are run by hand."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.api import create_app
from app.bootstrap.services import open_services
from app.core.settings import Settings
from app.domain.models import JobId
from app.services import Services
from tests.api.description import described
from tests.workflows.corpus import write_corpus

KEY = "ada-key-0123456789abcdefgh"


@dataclass
class Desk:
    """Asks over HTTP; runs what was asked for."""

    http: httpx.AsyncClient
    services: Services
    last: str = ""

    async def ask(self, path="/api/v1/reports", **body: Any) -> dict:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def report(self, **body: Any) -> dict:
        return await self.run((await self.ask(**body))["job_id"])

    async def run(self, job_id: str) -> dict:
        self.last = job_id
        await self.services.tasks.run(JobId(UUID(job_id)))
        return (await self.http.get(f"/api/v1/reports/{job_id}")).json()


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path / "documents")
    return tmp_path / "documents"


@pytest.fixture
def open_desk(tmp_path, corpus):
    @asynccontextmanager
    async def open_desk(**changes: Any):
        known = {
            "callslip_api_keys": f"ada:{KEY}",
            "secret_key": "k" * 8 + "0123456789abcdefghij",
            "data_dir": tmp_path / "data",
            "redis_url": "redis://127.0.0.1:1",  # nobody is there: jobs are run by hand
            "documents_dir": corpus,
            "step_retry": "10ms",
            "tool_pause": "1ms",
        }
        settings = Settings(_env_file=None, **(known | changes))
        (tmp_path / "data").mkdir(exist_ok=True)
        async with open_services(settings) as services:

            @asynccontextmanager
            async def same():
                yield services

            app = create_app(same)
            async with app.router.lifespan_context(app):
                transport = httpx.ASGITransport(app)
                headers = {"Authorization": f"Bearer {KEY}"}
                hooks = {"response": [described().check]}
                async with httpx.AsyncClient(
                    transport=transport, base_url="http://test", headers=headers, event_hooks=hooks
                ) as http:
                    yield Desk(http, services)

    return open_desk


@pytest.fixture
async def desk(open_desk):
    async with open_desk() as desk:
        yield desk
