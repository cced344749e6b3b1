"""Research by the names that people who migrate know."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from app.domain.lifecycle import Completed, Failed, Progressed, Started
from app.domain.models import JobError, JobId, JobResult, Progress
from app.workflows.research import WORKFLOW
from tests.api.world import WORKFLOWS, World
from tests.jobs import LEASE

DATA = {
    "processed_articles": [{"url": "owls.txt", "title": "Owls", "summary": "They hunt.", "text_hash": "ab" * 32}],
    "top_keywords": ["barn owls"],
    "total_articles_processed": 1,
    "synthesis": [{"text": "They hunt.", "sources": [1]}],
}


@pytest.fixture(autouse=True)
def with_research(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORKFLOWS, "research", WORKFLOW)


@pytest.fixture
async def research_id(api: httpx.AsyncClient) -> str:
    begun = await api.post("/research", json={"topic": "owls"})
    assert begun.status_code == 202, begun.text
    assert begun.json()["status"] == "PENDING"
    assert begun.json()["message"]
    assert begun.headers["location"] == f"/research/{begun.json()['research_id']}"
    return str(begun.json()["research_id"])


async def progressed(world: World, research_id: str, number: int, fraction: float, message: str) -> None:
    progress = Progress(fraction=fraction, step=number, steps=5, message=message)
    await world.advance(JobId(UUID(research_id)), Progressed(progress=progress, due_in=LEASE))


async def test_a_research_is_pending_in_progress_and_completed(
    api: httpx.AsyncClient, world: World, research_id: str
) -> None:
    told = (await api.get(f"/research/{research_id}/status")).json()
    assert told == {
        "research_id": research_id,
        "status": "PENDING",
        "message": "Waiting for a worker",
        "progress": {"current": 0, "total": 5},
    }
    await world.advance(JobId(UUID(research_id)), Started(lease=LEASE))
    await progressed(world, research_id, 3, 1.2 / 8.4, "Processing")
    told = (await api.get(f"/research/{research_id}/status")).json()
    assert (told["status"], told["progress"]) == ("IN_PROGRESS", {"current": 3, "total": 5})
    assert told["message"] == "Step 3: Processing - under way"
    await progressed(world, research_id, 3, 0.4, "4 of 7 articles summed up")
    told = (await api.get(f"/research/{research_id}/status")).json()
    assert told["message"] == "Step 3: Processing - 4 of 7 articles summed up"
    whole = (await api.get(f"/research/{research_id}")).json()
    assert [step["status"] for step in whole["workflow_steps"]] == [
        "COMPLETED",
        "COMPLETED",
        "IN_PROGRESS",
        "PENDING",
        "PENDING",
    ]
    assert whole["results"] == {
        "processed_articles": [],
        "top_keywords": [],
        "total_articles_processed": 0,
        "synthesis": [],
    }
    await world.advance(JobId(UUID(research_id)), Completed(result=JobResult(message="1 article", data=DATA)))  # type: ignore[arg-type]
    whole = (await api.get(f"/research/{research_id}")).json()
    assert (whole["research_id"], whole["topic"], whole["status"]) == (research_id, "owls", "COMPLETED")
    assert [(step["name"], step["status"]) for step in whole["workflow_steps"]] == [
        (name, "COMPLETED") for name in ("Input", "Gathering", "Processing", "Keywords and synthesis", "Saving")
    ]
    assert whole["results"] == DATA
    assert (await api.get(f"/research/{research_id}/status")).json()["message"] == "1 article"


async def test_a_failed_research_says_why_and_at_which_step(
    api: httpx.AsyncClient, world: World, research_id: str
) -> None:
    await world.advance(JobId(UUID(research_id)), Started(lease=LEASE))
    await progressed(world, research_id, 2, 0.2 / 8.4, "Gathering")
    error = JobError(type="step_failed", detail="step 2 (Gathering): Nothing was found about this topic.")
    await world.advance(JobId(UUID(research_id)), Failed(error=error))
    whole = (await api.get(f"/research/{research_id}")).json()
    assert (whole["status"], whole["error"]) == ("FAILED", error.detail)
    statuses = [step["status"] for step in whole["workflow_steps"]]
    assert statuses == ["COMPLETED", "FAILED", "PENDING", "PENDING", "PENDING"]
    assert (await api.get(f"/research/{research_id}/status")).json()["message"] == error.detail


async def test_a_cancelled_research_has_failed(api: httpx.AsyncClient, research_id: str) -> None:
    await api.post(f"/api/v1/jobs/{research_id}/cancel")
    told = (await api.get(f"/research/{research_id}/status")).json()
    assert (told["status"], told["message"]) == ("FAILED", "The research was cancelled")


async def test_the_list_leads_to_older_ones(api: httpx.AsyncClient) -> None:
    begun = [(await api.post("/research", json={"topic": f"owls {n}"})).json()["research_id"] for n in range(5)]
    found, where = [], "/research?limit=2"
    while where:
        page = await api.get(where)
        found += [one["research_id"] for one in page.json()]
        where = page.links.get("next", {}).get("url", "")
    assert found == sorted(begun, reverse=True)
    assert (await api.get("/research?cursor=nonsense")).status_code == 422


async def test_the_list_has_research_only_the_newest_first(
    api: httpx.AsyncClient, research_id: str, png: bytes
) -> None:
    other = await api.post("/api/v1/jobs", files={"file": ("receipt.png", png)})
    newer = (await api.post("/research", json={"topic": "tides"})).json()["research_id"]
    listed = (await api.get("/research")).json()
    assert {(one["research_id"], one["topic"], one["status"]) for one in listed} == {
        (newer, "tides", "PENDING"),
        (research_id, "owls", "PENDING"),
    }
    assert len((await api.get("/research", params={"limit": 1})).json()) == 1
    for unknown in (other.json()["job_id"], "owls", "0199aaaa-0000-7000-8000-000000000000"):
        assert (await api.get(f"/research/{unknown}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"), [({}, "topic"), ({"topic": ""}, "topic"), ({"topic": 7}, "topic"), ({"topic": "a", "b": 1}, "b")]
)
async def test_a_topic_is_wanted(api: httpx.AsyncClient, body: dict[str, object], field: str) -> None:
    refused = await api.post("/research", json=body)
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["errors"]] == [field]


async def test_the_same_key_is_the_same_research(api: httpx.AsyncClient) -> None:
    answers = [await api.post("/research", json={"topic": "owls"}, headers={"Idempotency-Key": "one"}) for _ in "12"]
    assert answers[0].json()["research_id"] == answers[1].json()["research_id"]


async def test_a_key_is_wanted_everywhere_but_for_health(api: httpx.AsyncClient, research_id: str) -> None:
    del api.headers["Authorization"]
    assert (await api.post("/research", json={"topic": "owls"})).status_code == 401
    for path in ("", f"/{research_id}", f"/{research_id}/status"):
        assert (await api.get(f"/research{path}")).status_code == 401
    told, same = (await api.get("/celery/health")).json(), (await api.get("/health")).json()
    assert (told.keys(), told["status"]) == (same.keys(), same["status"])
