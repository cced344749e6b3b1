"""Looking: one job, waiting for a change, lists, histories, workflows, the queue."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.api.v1 import schemas, views
from app.domain.errors import DeliveryTrouble, Unavailable
from app.domain.lifecycle import Completed, Failed, Periods, Progressed, after_trouble
from app.domain.models import JobError, JobResult, Progress, Trouble
from app.domain.protocols import QueueReport
from app.domain.signing import Scope
from app.infrastructure.memory_queue import MemoryJobQueue
from app.services.estimates import Estimate
from tests.api.test_submit import is_problem
from tests.api.world import AUTH

JOBS = "/api/v1/jobs"
MEMBERS = {
    "job_id",
    "workflow",
    "status",
    "overdue",
    "version",
    "attempt",
    "progress",
    "file",
    "params",
    "created_at",
    "started_at",
    "delivered_at",
    "completed_at",
    "due_at",
    "result_message",
    "notion_page_url",
    "result",
    "error",
    "trouble",
    "estimate",
    "execution_id",
    "retry_of",
    "links",
}

UNKNOWN = "0199aaaa-0000-7000-8000-000000000000"


async def test_the_short_way_to_a_job_answers_as_the_long_way_does(api, job_id):
    async def asked(path, **headers):
        answer = await api.get(path, headers={"X-Request-ID": "same", **headers})
        return answer.status_code, answer.headers.raw, answer.content

    for path, headers in (
        (f"{JOBS}/{job_id}", {}),
        (f"{JOBS}/{UNKNOWN}", {}),
        (f"{JOBS}/{job_id}", {"If-None-Match": "*"}),
    ):
        assert await asked(path, **headers) == await asked(f"{path}?wait=0", **headers)  # a query takes the long way
    lines = (await api.get("/metrics")).text.splitlines()
    assert any('route="/api/v1/jobs/{job_id}"' in line for line in lines)


async def test_a_new_job_is_shown_whole(api, job_id):
    answer = await api.get(f"{JOBS}/{job_id}")
    job = answer.json()
    assert answer.status_code == 200
    assert job.keys() == MEMBERS
    assert job["progress"] == {"fraction": None, "step": None, "steps": None, "message": None}
    assert (job["status"], job["version"], job["attempt"], job["overdue"]) == ("queued", 1, 0, False)
    assert job["links"].keys() == {"self", "events", "history", "file", "page"}
    assert job["created_at"].endswith("Z")
    assert job["due_at"].endswith("Z")


async def test_an_answer_is_byte_for_byte_what_its_model_would_become(world, api, job_id):
    at = datetime(2026, 11, 27, 18, 0, 0, 70, tzinfo=UTC)
    job = replace(
        await world.services.log.get(job_id),
        params={"notion_database_id": "größe \u2028 \U0001f4dd"},
        started_at=at,
        delivered_at=at,
        completed_at=at,
        progress=Progress(fraction=0.1, step=1, steps=2**40, message='"quoted"\n'),
        trouble=Trouble(kind="unavailable", since=at, count=3),
        result=JobResult(
            message="dün", notion_page_url="https://n.example/", data=[1e16, -0.0, 1e-7, 2**63, {"ä": []}]
        ),
        error=JobError(type="far_side", detail="it said: \\"),
        execution_id="4711",
        retry_of=job_id,
    )
    facts = views.job_facts(
        world.services, job, Estimate(low=timedelta(seconds=1), high=timedelta(seconds=2.5), runs=12)
    )
    body = schemas.facts_response(facts).body
    model = schemas.JobInfo.model_validate_json(body)
    assert list(facts) == list(schemas.JobInfo.model_fields)
    assert model.model_dump_json().encode() == body
    assert schemas.JobInfo.model_validate(facts).model_dump_json().encode() == body


@pytest.mark.parametrize(("query", "key"), [("?wait=0", AUTH), ("", {"Authorization": AUTH["Authorization"].lower()})])
async def test_the_usual_question_is_answered_as_an_unusual_one(api, job_id, query, key):
    usual = await api.get(f"{JOBS}/{job_id}")
    unusual = await api.get(f"{JOBS}/{job_id}{query}", headers=key)
    assert usual.content == unusual.content
    assert usual.headers.items() - unusual.headers.items() == {("x-request-id", usual.headers["x-request-id"])}


async def test_everything_that_happened_is_shown(api, world, job_id):
    await world.deliver(job_id)
    progress = Progress(fraction=0.4, step=2, steps=5, message="half")
    await world.advance(job_id, Progressed(progress=progress, due_in=timedelta(minutes=1)))
    result = JobResult(message="done", notion_page_url="https://notion.so/x", data={"a": [1, None]})
    await world.advance(job_id, Completed(result=result))
    job = (await api.get(f"{JOBS}/{job_id}")).json()
    assert job["progress"] == {"fraction": 1.0, "step": 2, "steps": 5, "message": "half"}
    assert (job["status"], job["result_message"], job["result"]) == ("success", "done", {"a": [1, None]})
    assert (job["notion_page_url"], job["execution_id"], job["due_at"]) == ("https://notion.so/x", "41", None)
    assert all(job[name].endswith("Z") for name in ("started_at", "delivered_at", "completed_at"))


async def test_trouble_and_error_are_shown(api, world, job_id):
    job = await world.deliver(job_id)
    trouble = after_trouble(job, DeliveryTrouble("unavailable", "refused"), Periods(), world.clock(), 0)
    await world.advance(job_id, trouble)
    shown = (await api.get(f"{JOBS}/{job_id}")).json()
    assert shown["trouble"].keys() == {"kind", "since", "count"}
    assert shown["trouble"]["since"].endswith("Z")
    await world.advance(job_id, Failed(error=JobError(type="workflow", detail="no"), result_message="no page"))
    shown = (await api.get(f"{JOBS}/{job_id}")).json()
    assert shown["error"] == {"type": "workflow", "detail": "no"}
    assert shown["result_message"] == "no page"


async def test_the_etag_changes_with_every_visible_change(api, world, job_id):
    async def etag():
        answer = await api.get(f"{JOBS}/{job_id}")
        assert answer.headers["cache-control"] == "private, no-cache"
        return answer.headers["etag"]

    seen = [await etag()]
    job = await world.deliver(job_id)
    seen.append(await etag())
    world.clock.ahead = timedelta(minutes=16)
    seen.append(await etag())
    assert (await api.get(f"{JOBS}/{job_id}")).json()["overdue"] is True
    world.memory.jobs[job_id] = type(job)(**{n: getattr(job, n) for n in job.__slots__} | {"due_at": world.clock()})
    seen.append(await etag())
    assert len(set(seen)) == 4
    assert all(tag[0] == tag[-1] == '"' for tag in seen)


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_what_is_known_already_is_304(api, job_id, form):
    etag = (await api.get(f"{JOBS}/{job_id}")).headers["etag"]
    answer = await api.get(f"{JOBS}/{job_id}", headers={"If-None-Match": form.format(etag)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await api.get(f"{JOBS}/{job_id}", headers={"If-None-Match": '"other"'})).status_code == 200


async def timed(call):
    began = time.monotonic()
    return await call, time.monotonic() - began


async def test_waiting_ends_when_the_job_changes(api, world, job_id):
    etag = (await api.get(f"{JOBS}/{job_id}")).headers["etag"]
    for headers in ({"If-None-Match": etag}, {}):
        call = asyncio.create_task(timed(api.get(f"{JOBS}/{job_id}", params={"wait": 20}, headers=headers)))
        await asyncio.sleep(0.1)
        assert not call.done()
        if headers:
            await world.deliver(job_id)
        else:
            await world.advance(job_id, Completed(result=JobResult()))
        answer, took = await call
        assert answer.status_code == 200
        assert took < 2


async def test_waiting_in_vain_is_304_or_the_job_as_it_is(api, job_id):
    etag = (await api.get(f"{JOBS}/{job_id}")).headers["etag"]
    answer, took = await timed(api.get(f"{JOBS}/{job_id}?wait=0.3", headers={"If-None-Match": etag}))
    assert answer.status_code == 304
    assert 0.25 < took < 2
    answer, took = await timed(api.get(f"{JOBS}/{job_id}?wait=0.3"))
    assert answer.status_code == 200
    assert 0.25 < took < 2


async def test_what_has_changed_already_is_answered_at_once(api, world, job_id):
    etag = (await api.get(f"{JOBS}/{job_id}")).headers["etag"]
    await world.advance(job_id, Completed(result=JobResult()))
    for headers in ({"If-None-Match": etag}, {}):
        answer, took = await timed(api.get(f"{JOBS}/{job_id}?wait=20", headers=headers))
        assert answer.status_code == 200
        assert took < 1


async def test_waiting_ends_when_the_job_becomes_overdue(api, world, job_id):
    await world.deliver(job_id)
    world.clock.ahead = timedelta(minutes=15) - timedelta(milliseconds=300)
    etag = (await api.get(f"{JOBS}/{job_id}")).headers["etag"]
    answer, took = await timed(api.get(f"{JOBS}/{job_id}?wait=20", headers={"If-None-Match": etag}))
    assert answer.json()["overdue"] is True
    assert took < 2


async def test_a_renewed_lease_does_not_end_the_waiting(api, world, job_id):
    job = await world.services.log.get(job_id)
    etag = (await api.get(f"{JOBS}/{job_id}")).headers["etag"]
    call = asyncio.create_task(timed(api.get(f"{JOBS}/{job_id}?wait=0.4", headers={"If-None-Match": etag})))
    await asyncio.sleep(0.1)
    moved = {name: getattr(job, name) for name in job.__slots__} | {"due_at": world.clock()}
    world.memory.jobs[job_id] = type(job)(**moved)
    world.services.feed.tell(job_id)
    answer, took = await call
    assert took > 0.35
    assert answer.status_code == 200


@pytest.mark.parametrize("wait", ["-1", "61", "x", "nan", ""])
async def test_a_strange_wait_is_refused_by_name(api, job_id, wait):
    problem = is_problem(await api.get(f"{JOBS}/{job_id}", params={"wait": wait}), 422)
    assert [each["field"] for each in problem["errors"]] == ["wait"]


@pytest.mark.parametrize("path", ["", "/history", "/events", "/file"])
@pytest.mark.parametrize("name", [UNKNOWN, "nonsense", "0", "{" + UNKNOWN + "}", UNKNOWN.replace("-", "")])
async def test_an_unknown_job_is_404(api, path, name):
    is_problem(await api.get(f"{JOBS}/{name}{path}"), 404)


@pytest.mark.parametrize("path", [JOBS, f"{JOBS}/{UNKNOWN}", f"{JOBS}/x/history", "/api/v1/workflows", "/api/v1/queue"])
async def test_looking_needs_a_key(api, path):
    answer = await api.get(path, headers={"Authorization": "Bearer wrong"})
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_link_does_not_open_the_job_itself(api, world, job_id):
    del api.headers["Authorization"]
    for path in ("", "/history"):
        is_problem(await api.get(f"{JOBS}/{job_id}{path}?token={world.token(Scope.PAGE, job_id)}"), 401)


async def test_a_list_is_paged_newest_first(api):
    for number in range(5):
        body = {"workflow": "question", "params": {"question": str(number)}}
        assert (await api.post(JOBS, json=body)).status_code == 202
    pages, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(JOBS, params=params)).json()
        assert page.keys() == {"jobs", "next"}
        pages.append([job["params"]["question"] for job in page["jobs"]])
        cursor = page["next"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(sum(pages, [])) == list("01234")  # noqa: RUF017
    assert (await api.get(JOBS)).json()["jobs"][0].keys() == MEMBERS


async def test_a_list_is_filtered(api, job_id):
    await api.post(JOBS, json={"workflow": "question", "params": {}})
    await api.post(f"{JOBS}/{job_id}/cancel")

    async def found(**params):
        return [(job["workflow"], job["status"]) for job in (await api.get(JOBS, params=params)).json()["jobs"]]

    assert await found(status="cancelled") == [("n8n_notion", "cancelled")]
    assert await found(workflow="question") == [("question", "queued")]
    assert await found(workflow="question", status="cancelled") == []
    assert len(await found(status="", workflow="", limit="", cursor="")) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "x"),
        ("status", "done"),
        ("cursor", "x"),
        ("workflow", "a\0b"),
        ("cursor", "x" * 600),
    ],
)
async def test_a_strange_list_parameter_is_refused_by_name(api, name, value):
    problem = is_problem(await api.get(JOBS, params={name: value}), 422)
    assert [each["field"] for each in problem["errors"]] == [name]


async def test_the_history_tells_every_line_in_order(api, world, job_id):
    await world.deliver(job_id)
    events = (await api.get(f"{JOBS}/{job_id}/history")).json()["events"]
    assert [event["type"] for event in events] == ["Accepted", "Started", "Delivered"]
    assert [event["version"] for event in events] == [1, 2, 3]
    assert [(event["before"], event["after"]) for event in events] == [
        (None, "queued"),
        ("queued", "processing"),
        ("processing", "waiting"),
    ]
    assert all(later["prev_hash"] == earlier["hash"] for earlier, later in itertools.pairwise(events))
    assert events[0]["detail"]["filename"] == "receipt.png"
    assert all(event["at"].endswith("Z") for event in events)


async def test_an_erased_history_has_no_details(api, world, job_id):
    await world.services.tasks.erase(job_id)
    answer = await api.get(f"{JOBS}/{job_id}/history")
    assert [event["detail"] for event in answer.json()["events"]] == [None] * 3
    assert (await api.get(f"{JOBS}/{job_id}")).status_code == 200
    is_problem(await api.get(f"{JOBS}/{job_id}/file"), 410)
    is_problem(await api.post(f"{JOBS}/{job_id}/retry"), 410)


async def test_workflows_say_what_they_take(api):
    found = {each["name"]: each for each in (await api.get("/api/v1/workflows")).json()["workflows"]}
    assert found.keys() == {"n8n_notion", "any", "question"}
    assert found["n8n_notion"]["title"] == "To Notion"
    assert "notion_database_id" in found["n8n_notion"]["parameters"]["properties"]
    assert found["n8n_notion"]["file"]["max_size"] == 150_000
    assert found["any"]["file"] == {"media_types": ["*/*"], "max_size": 200_000}
    assert found["question"]["file"] is None


class StaffedQueue(MemoryJobQueue):
    """A queue with a worker."""

    async def report(self):
        return QueueReport(registries={"queued": 1, "started": 2}, workers=("w1",))


class AbsentQueue(MemoryJobQueue):
    """A queue that nobody answers for."""

    async def report(self):
        raise Unavailable("the queue does not answer")


async def test_the_queue_is_counted(api, world, job_id):
    world.clock.ahead = timedelta(seconds=30)
    object.__setattr__(world.services, "queue", StaffedQueue())
    queue = (await api.get("/api/v1/queue")).json()
    assert queue["counts"] == {"queued": 1, "processing": 0, "waiting": 0, "success": 0, "failure": 0, "cancelled": 0}
    assert 30 <= queue["oldest_queued_seconds"] < 60
    assert (queue["workers"], queue["registries"]) == (["w1"], {"queued": 1, "started": 2})
    await world.deliver(job_id)
    world.clock.ahead = timedelta(hours=1)
    queue = (await api.get("/api/v1/queue")).json()
    assert (queue["overdue"], queue["oldest_queued_seconds"]) == (1, None)


async def test_the_counts_are_told_while_the_queue_is_away(api, world, job_id):
    object.__setattr__(world.services, "queue", AbsentQueue())
    queue = (await api.get("/api/v1/queue")).json()
    assert (queue["queue"], queue["workers"], queue["registries"]) == ("unavailable", None, None)
    assert queue["counts"]["queued"] == 1
