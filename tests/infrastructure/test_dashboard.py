"""RQ Dashboard under a mount: its pages work on our JSON jobs, and nothing can be changed or smuggled through them."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from app.domain.models import JobId
from app.infrastructure.dashboard_rq import dashboard
from app.infrastructure.queue_rq import RqJobQueue
from app.infrastructure.worker_rq import AsyncWorker, HeadOfQueue
from tests.contracts.redis_fixtures import RealValkey, absent_valkey, new_id, rung, valkey
from tests.infrastructure.worker_harness import roomy

__all__ = ["absent_valkey", "valkey"]


def browser(url: str, *, write: bool = False) -> httpx.AsyncClient:
    app = Starlette(routes=[Mount("/rq", dashboard(url, "q", write=write))])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://dash.test", follow_redirects=True)


@pytest.fixture
async def busy(valkey: RealValkey) -> AsyncIterator[JobId]:
    """One job in flight, one queued."""
    job_id = new_id()
    going = asyncio.Event()

    async def run(_: JobId) -> None:
        going.set()
        await asyncio.Event().wait()

    async def take(_: int, __: HeadOfQueue) -> list[JobId]:
        return []

    queue, stop = RqJobQueue(valkey.url, "q"), asyncio.Event()
    worker = AsyncWorker(valkey.url, "q", run=run, take=take, room=roomy, concurrency=1)
    serving = asyncio.create_task(worker.serve(stop))
    await rung(queue, job_id)
    await asyncio.wait_for(going.wait(), 5)
    await rung(queue, new_id())
    yield job_id
    stop.set()
    worker._drain_for = 0
    await serving
    await queue.close()


PAGES = [
    "",
    "0/view/queues",
    "0/view/workers",
    "0/view/jobs",
    "0/view/jobs/q/queued/8/asc/1",
    "0/data/queues.json",
    "0/data/workers.json",
    *(
        f"0/data/jobs/q/{registry}/8/asc/1.json"
        for registry in ("queued", "started", "finished", "failed", "deferred", "scheduled", "canceled")
    ),
]


@pytest.mark.parametrize("page", PAGES)
async def test_every_page_opens_while_a_worker_is_busy(valkey: RealValkey, busy: JobId, page: str) -> None:
    async with browser(valkey.url) as client:
        answer = await client.get(f"/rq/{page}")
        job = await client.get(f"/rq/0/data/job/{busy}.json")
        view = await client.get(f"/rq/0/view/job/{busy}")
    assert answer.status_code == job.status_code == view.status_code == 200
    assert job.json()["status"] == "started"


async def test_the_pages_tell_the_truth(valkey: RealValkey, busy: JobId) -> None:
    async with browser(valkey.url) as client:
        workers = (await client.get("/rq/0/data/workers.json")).json()["workers"]
        (queue,) = (await client.get("/rq/0/data/queues.json")).json()["queues"]
    assert [(one["state"], one["current_job"]["job_id"], one["queues"]) for one in workers] == [
        ("busy", str(busy), ["q"])
    ]
    assert (queue["name"], queue["count"], queue["started_job_registry_count"]) == ("q", 1, 1)


async def test_style_and_scripts_load_under_the_mount(valkey: RealValkey) -> None:
    async with browser(valkey.url) as client:
        page = (await client.get("/rq/")).text
        links = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|ico))"', page)
        answers = [await client.get(link) for link in links]
    assert len(links) >= 6
    assert all(link.startswith("/rq/") for link in links)
    assert [answer.status_code for answer in answers] == [200] * len(links)


async def test_the_address_of_redis_is_not_shown(valkey: RealValkey) -> None:
    async with browser(valkey.url) as client:
        assert Path(valkey.folder).name not in (await client.get("/rq/")).text


CHANGES = ["queue/q/queued/empty", "queue/q/failed/empty", "queue/q/compact", "requeue/q"]


@pytest.mark.parametrize("change", [*CHANGES, "job/{}/delete", "job/{}/requeue"])
async def test_read_only_refuses_every_change(valkey: RealValkey, busy: JobId, change: str) -> None:
    async with browser(valkey.url) as client:
        answer = await client.post(f"/rq/{change.format(busy)}", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    assert valkey.client.llen("rq:queue:q") == 1


@pytest.mark.parametrize("write", [False, True])
async def test_nothing_is_requeued_by_get(valkey: RealValkey, write: bool) -> None:
    async with browser(valkey.url, write=write) as client:
        assert (await client.get("/rq/requeue/q")).status_code == 405


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://dash.test"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_foreign_page_cannot_change_anything(valkey: RealValkey, busy: JobId, headers: dict[str, str]) -> None:
    async with browser(valkey.url, write=True) as client:
        assert (await client.post("/rq/queue/q/queued/empty", headers=headers)).status_code == 403
    assert valkey.client.llen("rq:queue:q") == 1


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://dash.test"}])
async def test_its_own_pages_can_change_things_when_that_is_switched_on(
    valkey: RealValkey, busy: JobId, headers: dict[str, str]
) -> None:
    async with browser(valkey.url, write=True) as client:
        assert (await client.post("/rq/queue/q/queued/empty", headers=headers)).status_code == 200
    assert valkey.client.llen("rq:queue:q") == 0


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("page", ["0/view/job/{}", "0/data/job/{}.json", "0/data/jobs/q/queued/8/asc/1.json"])
async def test_a_pickle_in_redis_is_never_unpacked(valkey: RealValkey, tmp_path: Path, page: str) -> None:
    mark, job_id = tmp_path / "owned", new_id()
    bomb = pickle.dumps(Bomb(mark))
    fields = {"data": bomb, "meta": bomb, "result": bomb, "status": "queued", "created_at": "2026-01-01T00:00:00.0Z"}
    valkey.client.hset(f"rq:job:{job_id}", mapping=fields)
    valkey.client.rpush("rq:queue:q", str(job_id))
    async with browser(valkey.url) as client:
        answer = await client.get(f"/rq/{page.format(job_id)}")
    assert answer.status_code < 600
    assert not mark.exists()


async def test_what_stands_in_redis_is_escaped_on_the_job_page(valkey: RealValkey, busy: JobId) -> None:
    async with browser(valkey.url) as client:
        page = (await client.get(f"/rq/0/view/job/{busy}")).text
    assert "<%- d.description %>" in page
    assert "<%- d.exc_info %>" in page
    assert "<%=" not in page


async def test_every_answer_forbids_framing_and_foreign_connections(valkey: RealValkey) -> None:
    async with browser(valkey.url) as client:
        answers = [await client.get("/rq/"), await client.get("/rq/static/css/main.css"), await client.post("/rq/x")]
    for answer in answers:
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_unknown_job_is_not_found(valkey: RealValkey) -> None:
    async with browser(valkey.url) as client:
        assert (await client.get(f"/rq/0/view/job/{new_id()}")).status_code == 404
        assert (await client.get("/rq/7/view/queues")).status_code == 404


async def test_without_redis_it_says_so(absent_valkey: RealValkey) -> None:
    async with browser(absent_valkey.url) as client:
        assert (await client.get("/rq/0/data/workers.json")).status_code == 503
