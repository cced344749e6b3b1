"""The ticket: open to its link, to operators, and to nobody else; in words, and with nothing in them that runs."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

from app.domain.lifecycle import Completed, Delivered, Failed, Postponed, Progressed, Started, TroubleKind
from app.domain.models import JobError, JobId, JobResult, Progress
from app.domain.signing import Scope
from tests.api.world import AUTH

LATER = timedelta(minutes=15)
EVIL = "<script>alert(1)</script>"


async def hand_in(browser, name: str) -> JobId:
    answer = await browser.post("/api/v1/jobs", files={"file": (name, b"12 coffees")}, headers=AUTH)
    return JobId(UUID(answer.json()["job_id"]))


async def test_the_link_opens_the_ticket(browser, world, job_id):
    answer = await browser.get(world.link(job_id))
    assert answer.status_code == 200
    assert "receipt.txt" in answer.text
    assert "In line" in answer.text
    assert '<meta http-equiv="refresh"' in answer.text


async def test_the_link_of_the_api_is_the_link_of_the_page(browser):
    answer = await browser.post("/api/v1/jobs", files={"file": ("a.txt", b"12 coffees")}, headers=AUTH)
    assert (await browser.get(answer.json()["links"]["page"])).status_code == 200


async def test_a_link_of_another_job_purpose_or_time_opens_nothing(browser, world, job_id):
    other = JobId(uuid4())
    wrong = [
        world.token(Scope.PAGE, other),
        world.token(Scope.FILE, job_id),
        world.token(Scope.CALLBACK, job_id),
        world.capabilities.grant(Scope.PAGE, job_id, world.clock() - timedelta(seconds=2)),
        "nonsense",
    ]
    for suffix in ("", "/fragment"):
        for token in wrong:
            answer = await browser.get(f"/jobs/{job_id}{suffix}", params={"token": token})
            assert answer.status_code == 401
            assert "receipt.txt" not in answer.text
    assert (await browser.get(f"/jobs/nonsense?token={wrong[0]}")).status_code == 401


async def test_without_a_link_one_has_to_log_in(browser, job_id):
    answer = await browser.get(f"/jobs/{job_id}")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next=/jobs/{job_id}"
    fragment = await browser.get(f"/jobs/{job_id}/fragment", headers={"Callslip-Fragment": "1"})
    assert fragment.status_code == 401


async def test_a_program_that_asks_for_a_page_without_a_link_is_told_as_programs_are(browser, job_id):
    for page in (f"/jobs/{job_id}", "/ops", "/"):
        refused = await browser.get(page, headers={"Accept": "application/json"})
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        assert (refused.json()["status"], refused.json()["instance"]) == (401, page)


async def test_an_operator_needs_no_link(operator, job_id):
    answer = await operator.get(f"/jobs/{job_id}")
    assert answer.status_code == 200
    assert "Attempts and actions" in answer.text


async def test_a_job_that_does_not_exist_is_told_to_operators_only(operator, world):
    unknown = JobId(uuid4())
    assert (await operator.get(f"/jobs/{unknown}")).status_code == 404
    operator.cookies.clear()
    assert (await operator.get(f"/jobs/{unknown}")).status_code == 303


async def test_pages_load_and_tell_nothing_to_others(browser, world, job_id):
    answer = await browser.get(world.link(job_id))
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    for sign in ("<style", " style=", "onclick=", "//cdn", "http://"):
        assert sign not in answer.text


async def test_the_ticket_tells_progress_in_words_and_figures(browser, world, job_id):
    await world.deliver(job_id)
    progress = Progress(fraction=0.42, step=2, steps=5, message="Reading page 2")
    await world.advance(job_id, Progressed(progress=progress, due_in=LATER))
    text = (await browser.get(world.link(job_id, "/fragment"))).text
    for words in ("At work", "Reading page 2", 'value="42"', "Step 2 of 5", "The workflow has it"):
        assert words in text
    assert "<html" not in text


async def test_the_ticket_tells_a_result(browser, world, job_id):
    await world.deliver(job_id)
    page = "https://www.notion.so/abc"
    result = JobResult(message="Page created", notion_page_url=page, data={"lines": 3, "clean": True, "rows": [1]})
    await world.advance(job_id, Completed(result=result))
    text = (await browser.get(world.link(job_id))).text
    for words in ("Done", "Page created", f'href="{page}"', "lines", "yes", "data-ended"):
        assert words in text
    assert "http-equiv" not in text


async def test_the_ticket_tells_why_a_job_failed(browser, world, job_id):
    await world.deliver(job_id)
    error = JobError(type="workflow", detail="Notion said: database not found")
    await world.advance(job_id, Failed(error=error, result_message="No page"))
    text = (await browser.get(world.link(job_id))).text
    for words in ("Failed", "The workflow reports that it failed.", "Notion said: database not found", "No page"):
        assert words in text


async def test_the_ticket_tells_trouble_and_the_next_try(browser, world, job_id):
    await world.advance(job_id, Started(lease=LATER))
    words = {"answer": "connection refused"}
    await world.advance(job_id, Postponed(delay=LATER, trouble=TroubleKind.UNAVAILABLE, words=words))
    text = (await browser.get(world.link(job_id))).text
    for said in ("Trying again", "The workflow could not be reached. Tried once.", "Next try", "connection refused"):
        assert said in text


async def test_a_silent_workflow_shows_as_overdue(browser, world, job_id):
    await world.deliver(job_id)
    world.clock.ahead = timedelta(minutes=16)
    assert "Overdue" in (await browser.get(world.link(job_id))).text


async def test_names_words_and_results_are_text_and_nothing_else(browser, world):
    job_id = await hand_in(browser, f"{EVIL}.txt")
    await world.advance(job_id, Started(lease=LATER))
    await world.advance(job_id, Delivered(due_in=LATER, execution_id=EVIL))
    await world.advance(job_id, Progressed(progress=Progress(message=EVIL), due_in=LATER))
    result = JobResult(message=EVIL, notion_page_url="javascript:alert(1)", data={EVIL: EVIL, "deep": [{"x": EVIL}]})
    await world.advance(job_id, Completed(result=result))
    text = (await browser.get(world.link(job_id))).text
    assert "<script>" not in text
    assert "javascript:" not in text
    assert "&lt;script&gt;alert(1)" in text


async def test_an_erased_job_says_so_and_nothing_else(browser, world, job_id):
    await world.services.tasks.erase(job_id)
    text = (await browser.get(world.link(job_id))).text
    assert "receipt.txt" not in text
    assert "erased" in text


async def test_static_files_may_be_kept_for_ever_and_nothing_else_is_served(browser, world, job_id):
    text = (await browser.get(world.link(job_id))).text
    style = text.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = await browser.get(style)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    for name in ("nothing.css", "../__init__.py", "%2e%2e/rendering.py"):
        assert (await browser.get(f"/static/{name}")).status_code == 404


async def test_an_address_that_does_not_exist_is_a_page_for_people_and_a_problem_for_programs(browser):
    answer = await browser.get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    for path in ("/nowhere", "/api/v1/nowhere"):
        problem = await browser.get(path, headers={"Accept": "application/json"})
        assert problem.headers["content-type"] == "application/problem+json"
    assert (await browser.get("/api/v1/nowhere")).headers["content-type"] == "application/problem+json"


async def test_first_paint_is_small(browser, world, job_id):
    page = await browser.get(world.link(job_id))
    total = len(page.content)
    for start in ('src="', 'href="'):
        for piece in page.text.split(start)[1:]:
            address = piece.split('"')[0]
            if address.startswith("/static/"):
                total += len((await browser.get(address)).content)
    assert total <= 60 * 1024


async def test_slip_and_audit_record_lead_to_the_signed_receipt(operator, world, job_id):
    slip = (await operator.get(world.link(job_id))).text
    record = (await operator.get(f"/audit/{job_id}")).text
    operator.cookies.clear()
    for page in (slip, record):
        link = re.search(r'href="(/api/v1/jobs/[^"]+/receipt[?]token=[^"]+)"', page).group(1)
        receipt = await operator.get(link)
        assert receipt.headers["content-disposition"].startswith("attachment")
        assert (receipt.json()["job_id"], receipt.json()["status"]) == (str(job_id), "queued")


async def test_the_slip_does_not_change_while_nothing_happens(browser, world, job_id):
    def steady(text):
        return re.sub(r' data-now="[^"]*"|(?<=data-since>)[^<]*', "", text)

    first = (await browser.get(world.link(job_id, "/fragment"))).text
    world.clock.ahead += timedelta(minutes=2)
    second = (await browser.get(world.link(job_id, "/fragment"))).text
    assert steady(first) == steady(second)
