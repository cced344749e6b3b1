"""Health, metrics and the dashboard."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import PlainTextResponse

from app.api.v1 import health
from app.domain.errors import StoreUnavailable, Unavailable
from app.infrastructure.memory_queue import MemoryJobQueue
from app.services.counts import Counts
from tests.api.test_look import AbsentQueue, StaffedQueue
from tests.api.test_submit import is_problem
from tests.api.world import KEY


@pytest.fixture
def put(api, world):
    """Puts something else in the place of a service."""
    del api.headers["Authorization"]
    return lambda **changes: [object.__setattr__(world.services, name, value) for name, value in changes.items()]


async def statuses(api, path="/health/ready"):
    answer = await api.get(path)
    body = answer.json()
    names = ("database", "queue", "file_store", "workers")
    return answer.status_code, body["status"], [body[name]["status"] for name in names]


async def broken_database():
    raise StoreUnavailable("the database does not answer")


async def silent_database():
    await asyncio.sleep(60)


class ReadOnlyFiles:
    """A file store that cannot be written."""

    async def check(self):
        raise Unavailable("the folder cannot be written")


async def test_all_is_well(api, put):
    put(queue=StaffedQueue())
    for path in ("/health", "/health/ready"):
        assert await statuses(api, path) == (200, "ok", ["ok"] * 4)
    assert (await api.get("/health/live")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"queue": AbsentQueue()}, (200, "degraded", ["ok", "degraded", "ok", "degraded"])),
        ({"queue": MemoryJobQueue()}, (200, "degraded", ["ok", "ok", "ok", "degraded"])),
        ({"database_check": broken_database}, (503, "failed", ["failed", "ok", "ok", "ok"])),
        ({"files": ReadOnlyFiles()}, (503, "failed", ["ok", "ok", "failed", "ok"])),
    ],
    ids=["no queue", "no worker", "no database", "no file store"],
)
async def test_each_dependency_is_told(api, put, changes, expected):
    put(**{"queue": StaffedQueue()} | changes)
    assert await statuses(api) == expected
    assert (await api.get("/health/live")).status_code == 200


async def test_a_dependency_that_does_not_answer_is_not_waited_for(api, put, world):
    put(queue=StaffedQueue(), database_check=silent_database)
    readiness = await asyncio.wait_for(health.readiness_of(world.services, patience=0.05), 2)
    assert (readiness.status, readiness.database.status) == ("failed", "failed")


async def figures(api):
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}


async def test_metrics_count_jobs_and_requests(api, world, job_id, put):
    world.clock.ahead = timedelta(seconds=30)
    await api.get("/api/v1/jobs/some-id-that-must-not-become-a-label")
    found = await figures(api)
    assert found["callslip_jobs", "n8n_notion", "queued"] == 1
    assert found["callslip_oldest_due_seconds",] >= 30
    assert found["callslip_request_seconds_count", "/api/v1/jobs", "2xx", "POST"] >= 1
    assert found["callslip_requests_in_flight",] == 1
    names = {name for name, *_ in found}
    for wanted in ("uploaded_bytes_total", "commit_seconds_count", "jobs_in_flight", "jobs_overdue"):
        assert f"callslip_{wanted}" in names
    assert "must-not" not in str(found)


async def test_bytes_are_counted_when_they_are_kept(api, png):
    before = (await figures(api))["callslip_uploaded_bytes_total",]
    for _ in range(2):
        await api.post("/api/v1/jobs", files={"file": ("a.png", png)}, headers={"Idempotency-Key": "k"})
    await api.post("/api/v1/jobs", files={"file": ("a.png", b"")})
    assert (await figures(api))["callslip_uploaded_bytes_total",] == before + len(png)


async def test_metrics_are_told_without_the_database(api, world, put):
    class NoSearch:
        async def counts(self, overdue_before):
            raise StoreUnavailable("the database does not answer")

    assert ("callslip_jobs_overdue",) in await figures(api)
    put(counts=Counts(NoSearch(), {}, world.clock))
    found = await figures(api)
    assert ("callslip_jobs_overdue",) not in found
    assert ("callslip_requests_in_flight",) in found


def basic(password):
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


async def test_the_dashboard_opens_for_a_key(api, put):
    put(dashboard=PlainTextResponse("the dashboard"))
    for headers in (basic(KEY), {"Authorization": f"Bearer {KEY}"}):
        assert (await api.get("/rq/queues", headers=headers)).text == "the dashboard"
    assert (await api.get("/rq")).headers["location"] == "/rq/"


@pytest.mark.parametrize(
    "headers", [{}, basic("wrong"), basic(""), {"Authorization": "Basic ???"}, {"Authorization": "Basic /w=="}]
)
async def test_the_dashboard_asks_a_browser_for_a_key(api, put, headers):
    put(dashboard=PlainTextResponse("the dashboard"))
    answer = await api.get("/rq/", headers=headers)
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


async def test_without_a_dashboard_there_is_none(api):
    is_problem(await api.get("/rq/"), 404)


async def test_all_processes_of_a_host_count_together(tmp_path):
    code = (
        "from app.core.metrics import COMMIT, JOBS_IN_FLIGHT\n"
        "COMMIT.observe(0.1); JOBS_IN_FLIGHT.inc(); import sys; print('ready', flush=True); sys.stdin.read()\n"
    )
    show = (
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from app.api.v1.metrics import process_figures\n"
        "print(process_figures(CollectorRegistry()).decode())\n"
    )
    workers = [await python(code, tmp_path) for _ in range(2)]
    for worker in workers:
        assert await worker.stdout.readline() == b"ready\n"
    shown, _ = await (await python(show, tmp_path)).communicate()
    for worker in workers:
        await worker.communicate(b"")
    assert b"callslip_commit_seconds_count 2.0" in shown
    assert b"callslip_jobs_in_flight 2.0" in shown


async def python(code, folder):
    import sys  # noqa: PLC0415

    env = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PATH": ""}
    pipe = asyncio.subprocess.PIPE
    here = Path(__file__).parents[2]
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=pipe, stdout=pipe, env=env, cwd=here)


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_monitors_may_ask_by_head(api, path):
    assert (await api.head(path)).status_code == (await api.get(path)).status_code == 200
