"""The last day as a chart, and the filters of the list."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.lifecycle import Completed, Delivered, Failed, Postponed, Started, TroubleKind
from app.domain.models import JobError, JobResult, JobStatus
from app.domain.protocols import Between, HourOfJobs
from app.web.ops_chart import HEIGHT, chart, quantile
from app.web.ops_wishes import Wishes
from tests.api.world import KEY
from tests.web.conftest import OURS
from tests.web.test_ticket import hand_in

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
FAILED = Failed(error=JobError(type="workflow", detail="Notion said no"))


def hour(number: int, durations: list[int] | None = None, **counts: int) -> HourOfJobs:
    by_status = {JobStatus(name): count for name, count in counts.items()}
    spans = [timedelta(seconds=seconds) for seconds in durations or []]
    return HourOfJobs(at=AT + number * timedelta(hours=1), by_status=by_status, durations=spans)


def test_columns_are_as_high_as_their_share_and_stand_on_one_another():
    drawn = chart([hour(0, success=6, failure=2), hour(1), hour(2, queued=1, waiting=3)])
    done, failed, unfinished = drawn.blocks
    assert (done.tone, done.height, done.y) == ("good", HEIGHT * 6 / 8, HEIGHT * 2 / 8)
    assert (failed.tone, failed.y) == ("bad", 0)
    assert (unfinished.tone, unfinished.height) == ("live", HEIGHT / 2)
    assert unfinished.x > 2 * done.width
    assert drawn.most == 8
    assert drawn.summary.startswith("12 jobs in the last 3 hours: 6 done, 2 failed, 0 cancelled, 4 unfinished.")


def test_the_line_of_times_has_a_hole_where_nothing_was_done():
    drawn = chart([hour(0, [1, 2, 3]), hour(1, [10]), hour(2), hour(3, [5])])
    assert drawn.slowest == timedelta(seconds=10)
    assert drawn.medians.count("M") == drawn.slows.count("M") == 2
    assert [row.median for row in drawn.rows] == [
        timedelta(seconds=2),
        timedelta(seconds=10),
        None,
        timedelta(seconds=5),
    ]


def test_an_empty_day_can_be_drawn():
    drawn = chart([hour(number) for number in range(24)])
    assert (drawn.blocks, drawn.medians, drawn.most, drawn.slowest) == ([], "", 0, None)


def test_quantiles_are_values_that_were_there():
    spans = [timedelta(seconds=seconds) for seconds in range(1, 101)]
    assert quantile(spans, 0.5) == timedelta(seconds=50)
    assert quantile(spans, 0.95) == timedelta(seconds=95)
    assert quantile([], 0.5) is None


def test_what_nobody_can_have_chosen_is_not_chosen():
    odd = Wishes(
        status="lost",
        workflow="nobody's",
        text=" a\x00b ",
        within="ever",
        since="soon",
        before="9999-12-31T23:59-12:00",
    )
    assert odd.known(["n8n"]) == Wishes(text="ab")
    assert not Wishes().known([])
    day = Wishes(since="2026-11-23T12:00:00.000Z", before="2026-11-23T13:00:00.000Z").known([])
    assert day.between(AT) == Between(since=AT, before=AT + timedelta(hours=1))
    assert Wishes(within="day").between(AT) == Between(since=AT - timedelta(days=1))
    typed = Wishes(within="day", since="2026-11-22T13:00", before="2026-11-23T12:30").known([])
    assert typed.between(AT) == Between(since=AT - timedelta(hours=23), before=AT + timedelta(minutes=30))
    assert Wishes(within="hour", since="2026-11-22T13:00").between(AT) == Between(since=AT - timedelta(hours=1))
    assert (day.since_field, day.before_field, odd.since_field) == ("2026-11-23T12:00", "2026-11-23T13:00", "")
    assert Wishes(text="a b&c").query(cursor="x") == "text=a+b%26c&cursor=x"


async def test_operations_draw_the_last_day_and_say_it_in_words(operator, world):
    await world.advance(await hand_in(operator, "bad.txt"), FAILED)
    done = await hand_in(operator, "good.txt")
    await world.deliver(done)
    await world.advance(done, Completed(result=JobResult()))
    text = (await operator.get("/ops")).text
    assert "2 jobs in the last 24 hours: 1 done, 1 failed, 0 cancelled, 0 unfinished." in text
    assert text.count("<rect") == 2
    assert 'role="img"' in text
    assert " style=" not in text
    (hour_link,) = re.findall(r'href="(/ops\?since=[^"]*)#jobs"', text)
    assert "good.txt" in (await operator.get(hour_link.replace("&amp;", "&"))).text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("text=INVOICE", {"invoice.txt"}),
        ("text=notion said", {"broken.txt"}),
        ("status=failure", {"broken.txt"}),
        ("status=failure&text=invoice", set()),
        ("within=hour", {"invoice.txt", "broken.txt"}),
        ("before=2026-01-01T00:00:00Z", set()),
        ("since=2026-01-01T00:00&before=2199-01-01T00:00", {"invoice.txt", "broken.txt"}),
        ("since=nonsense", {"invoice.txt", "broken.txt"}),
        ("cursor=made-up&text=invoice", {"invoice.txt"}),
    ],
)
async def test_the_list_can_be_filtered(operator, world, query, shown):
    await hand_in(operator, "invoice.txt")
    await world.advance(await hand_in(operator, "broken.txt"), FAILED)
    for path in ("/ops", "/ops/fragment"):
        page = (await operator.get(f"{path}?{query}")).text
        rows = page[page.index('id="jobs"') :]
        assert {name for name in ("invoice.txt", "broken.txt") if f">{name}</a>" in rows} == shown


async def test_a_job_is_found_by_the_beginning_of_its_id(operator):
    job_id = await hand_in(operator, "one.txt")
    page = (await operator.get(f"/ops?text={str(job_id)[:18]}")).text
    assert f'href="/ops/jobs/{job_id}"' in page[page.index('id="jobs"') :]


async def test_what_is_ticked_in_the_list_is_retried(operator, world):
    ids = [await hand_in(operator, f"{number}.txt") for number in range(2)]
    for job_id in ids:
        await world.advance(job_id, FAILED)
    page = (await operator.get("/ops?status=failure")).text
    csrf = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
    answer = await operator.post("/ops/retry", data={"csrf": csrf, "job": [str(each) for each in ids]}, headers=OURS)
    assert answer.headers["location"] == "/ops?done=2&failed=0"


async def test_a_growing_queue_needs_a_person(operator, world):
    await hand_in(operator, "late.txt")
    assert "Waiting for a worker for too long" not in (await operator.get("/ops")).text
    world.clock.ahead += timedelta(minutes=2)
    assert "Waiting for a worker for too long: 1" in (await operator.get("/ops")).text


async def test_a_job_shows_each_attempt_with_its_request_and_answer(operator, world):
    job_id = await hand_in(operator, "one.txt")
    request = {
        "method": "POST",
        "url": "https://n8n.example/webhook/***",
        "headers": {"authorization": "Bearer ***"},
        "size": 2048,
    }
    refused = {"status": 403, "headers": {"server": "nginx"}, "text": "<b>no</b>"}
    await world.advance(job_id, Started(lease=timedelta(seconds=10)))
    postponed = Postponed(
        delay=timedelta(), trouble=TroubleKind.REFUSED, words={"answer": "no", "request": request, "response": refused}
    )
    await world.advance(job_id, postponed)
    await world.advance(job_id, Started(lease=timedelta(seconds=10)))
    await world.advance(job_id, Delivered(due_in=timedelta(minutes=15), words={"request": request}))
    page = (await operator.get(f"/ops/jobs/{job_id}")).text
    assert page.count("POST https://n8n.example/webhook/***") == 2
    assert "authorization: Bearer ***" in page
    assert "server: nginx" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "No answer came." in page
    slip = (await operator.get(world.link(job_id))).text
    assert "n8n.example" not in slip
    assert KEY not in page
