"""Operations and audit: what needs a person first, what can be done, and a record that says when it was changed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

from app.domain.lifecycle import Cancelled, Completed, Failed, Postponed, Started, TroubleKind
from app.domain.models import JobError, JobId, JobResult, JobStatus
from tests.api.world import AUTH
from tests.web.conftest import OURS

LATER = timedelta(minutes=15)
EVIL = "<script>alert(1)</script>"


async def csrf_of(operator) -> str:
    return re.search(r'name="csrf" value="([^"]*)"', (await operator.get("/ops")).text)[1]


async def another(browser, name: str) -> JobId:
    answer = await browser.post("/api/v1/jobs", files={"file": (name, b"12 coffees")}, headers=AUTH)
    return JobId(UUID(answer.json()["job_id"]))


async def fail(world, job_id, detail="database not found"):
    await world.deliver(job_id)
    return await world.advance(job_id, Failed(error=JobError(type="workflow", detail=detail)))


async def test_without_trouble_nothing_needs_a_person(operator, job_id):
    text = (await operator.get("/ops")).text
    assert "Nothing needs a person." in text
    assert "receipt.txt" in text


async def test_without_jobs_the_page_leads_to_the_first(operator):
    assert "Hand in the first one" in (await operator.get("/ops")).text


async def test_what_needs_a_person_comes_first(operator, world, job_id):
    await fail(world, job_id)
    overdue, refused = await another(operator, "late.txt"), await another(operator, "refused.txt")
    await world.deliver(overdue)
    await world.advance(refused, Started(lease=LATER))
    await world.advance(refused, Postponed(delay=timedelta(hours=1), trouble=TroubleKind.REFUSED))
    world.clock.ahead = timedelta(minutes=20)
    text = (await operator.get("/ops")).text
    places = [text.index(words) for words in ("Refused by the workflow: 1", "Overdue: 1", "Failed in the last day: 1")]
    assert places == sorted(places)
    assert text.index("Failed in the last day") < text.index("Jobs, newest first")
    assert "The workflow reports that it failed. Database not found." in text


async def test_a_failure_that_was_retried_or_is_old_needs_nobody(operator, world, job_id):
    await fail(world, job_id)
    assert "Failed in the last day: 1" in (await operator.get("/ops/fragment")).text
    await world.services.tasks.retry("ada", job_id)
    assert "Failed in the last day" not in (await operator.get("/ops/fragment")).text
    world.clock.ahead = timedelta(days=2)
    assert "Failed in the last day" not in (await operator.get("/ops/fragment")).text


async def test_the_list_is_filtered_by_status_and_workflow(operator, world, job_id):
    done = await another(operator, "done.txt")
    await world.deliver(done)
    await world.advance(done, Completed(result=JobResult(message="fine")))
    only_done = (await operator.get("/ops", params={"status": "success"})).text
    assert "done.txt" in only_done
    assert "receipt.txt" not in only_done
    nothing = (await operator.get("/ops", params={"workflow": "question"})).text
    assert "No job fits." in nothing
    for odd in ({"status": "odd"}, {"workflow": "od\0d"}, {"cursor": "made up"}):
        assert "receipt.txt" in (await operator.get("/ops", params=odd)).text


async def test_the_list_has_pages(operator, world):
    for number in range(33):
        await another(operator, f"file-{number:02}.txt")
    first = (await operator.get("/ops")).text
    older = re.search(r'href="(/ops\?cursor=[^"#]*)', first)[1]
    second = (await operator.get(older)).text
    assert "file-32.txt" in first
    assert "file-02.txt" not in first
    assert "file-02.txt" in second


async def test_an_id_leads_to_its_job(operator, job_id):
    found = await operator.get("/ops", params={"find": f" {str(job_id).upper()} "})
    assert found.headers["location"] == f"/ops/jobs/{job_id}"
    for unknown in (str(uuid4()), EVIL):
        answer = await operator.get("/ops", params={"find": unknown})
        assert answer.status_code == 404
        assert "No job has this id." in answer.text
        assert EVIL not in answer.text


async def test_a_jobs_page_shows_every_attempt(operator, world, job_id):
    await world.advance(job_id, Started(lease=LATER))
    words = {"answer": f"503: {EVIL}"}
    await world.advance(job_id, Postponed(delay=timedelta(0), trouble=TroubleKind.UNAVAILABLE, words=words))
    await world.deliver(job_id)
    text = (await operator.get(f"/ops/jobs/{job_id}")).text
    assert "<b>1</b> Not handed over; it is tried again" in text
    assert "<b>2</b> The workflow has it" in text
    assert "503: &lt;script&gt;" in text
    assert "Execution 41" in text
    assert f"http://callslip.test/api/v1/jobs/{job_id}" in text
    assert EVIL not in text


async def test_cancel_needs_the_form_and_works_once(operator, world, job_id):
    path = f"/ops/jobs/{job_id}/cancel"
    assert (await operator.post(path, data={"csrf": "no"}, headers=OURS)).status_code == 403
    form = {"csrf": await csrf_of(operator)}
    assert (await operator.post(path, data=form, headers={"Origin": "http://evil.test"})).status_code == 403
    assert (await world.services.log.get(job_id)).status is JobStatus.QUEUED
    done = await operator.post(path, data=form, headers=OURS)
    assert "The job was cancelled." in (await operator.get(done.headers["location"])).text
    again = await operator.post(path, data=form, headers=OURS)
    assert "It had ended already" in (await operator.get(again.headers["location"])).text


async def test_retry_leads_to_the_new_job(operator, world, job_id):
    form = {"csrf": await csrf_of(operator)}
    early = await operator.post(f"/ops/jobs/{job_id}/retry", data=form, headers=OURS)
    assert "It cannot be retried" in (await operator.get(early.headers["location"])).text
    await fail(world, job_id)
    assert 'id="retry"' in (await operator.get(f"/ops/jobs/{job_id}")).text
    done = await operator.post(f"/ops/jobs/{job_id}/retry", data=form, headers=OURS)
    page = (await operator.get(done.headers["location"])).text
    assert "Handed in again. This is the new job." in page
    assert f"/ops/jobs/{job_id}" in page


async def test_many_are_retried_at_once(operator, world, job_id):
    other = await another(operator, "other.txt")
    for failed in (job_id, other):
        await fail(world, failed)
    form = {"csrf": await csrf_of(operator), "job": [str(job_id), str(other), str(uuid4()), EVIL]}
    answer = await operator.post("/ops/retry", data=form, headers=OURS)
    text = (await operator.get(answer.headers["location"])).text
    assert "Handed in again: 2. Not possible: 2." in text
    nothing = await operator.post("/ops/retry", data={"csrf": form["csrf"]}, headers=OURS)
    assert "Nothing was ticked." in (await operator.get(nothing.headers["location"])).text


async def test_actions_are_closed_to_who_is_not_logged_in(browser, world, job_id):
    for path in (f"/ops/jobs/{job_id}/cancel", f"/ops/jobs/{job_id}/retry", "/ops/retry"):
        assert (await browser.post(path, data={"csrf": "x"}, headers=OURS)).status_code == 303
    assert (await world.services.log.get(job_id)).status is JobStatus.QUEUED


async def test_the_record_shows_every_line_with_its_hash(operator, world, job_id):
    await world.deliver(job_id)
    text = (await operator.get(f"/audit/{job_id}")).text
    assert "Verifies" in text
    lines = await world.services.log.history(job_id)
    assert len(lines) == 3
    for line in lines:
        assert line.hash in text
    assert "receipt.txt" in text


async def test_the_record_says_where_it_was_changed(operator, world, job_id):
    await world.deliver(job_id)
    lines = world.memory.lines[job_id]
    lines[1] = replace(lines[1], facts={**lines[1].facts, "attempt": 7})
    text = (await operator.get(f"/audit/{job_id}")).text
    assert "Does not verify" in text
    assert "Changed</b> at line 2" in text
    assert text.count("Not to be relied on.") == 2


async def test_an_erased_job_still_verifies(operator, world, job_id):
    await world.services.tasks.erase(job_id)
    text = (await operator.get(f"/audit/{job_id}")).text
    assert "Verifies" in text
    assert "receipt.txt" not in text
    assert "its commitment stays" in text


async def test_a_cancelled_job_tells_so(operator, world, job_id):
    await world.advance(job_id, Cancelled())
    assert "Somebody cancelled this." in (await operator.get(f"/ops/jobs/{job_id}")).text


async def test_an_unknown_job_has_no_page(operator):
    for path in ("/ops/jobs", "/audit"):
        assert (await operator.get(f"{path}/{uuid4()}")).status_code == 404
        assert (await operator.get(f"{path}/nonsense")).status_code == 404
