"""Results that are made once and read often, told on memory adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest

from app.domain.errors import Invalid, NotAuthentic, NotFound, OverQuota
from app.domain.lifecycle import Failed
from app.domain.models import Job, JobError, JobStatus, Json, ParamPart
from app.domain.quotas import Quota, Quotas
from app.domain.workflow import Anonymous, FileRules
from app.services.callbacks import Callback
from app.services.freshness import PAUSE, FreshnessService, Outcome
from tests.services.conftest import NO_QUOTAS, SUCCESS, Bench, parts, workflow

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def topic(params: Mapping[str, Json]) -> str | None:
    return str(params["topic"]) if "topic" in params else None


REPORT = workflow("report", file=None, dedup=topic, fresh_for=DAY, anonymous=Anonymous.READ)
SECRET = workflow("secret", file=None, dedup=topic)
SCAN = workflow("scan", file=FileRules(max_size=9), dedup=topic)
TIDES: Mapping[str, Json] = {"topic": "tides"}


class Reports(Bench):
    """A bench whose results are asked for."""

    def __init__(self, quotas: Quotas = NO_QUOTAS) -> None:
        super().__init__(REPORT, SECRET, SCAN, quotas=quotas)
        self.freshness = FreshnessService(self.tasks, self.ports)

    async def ask(self, client: str | None = "me") -> Outcome:
        return await self.freshness.ask(client, REPORT.name, TIDES)

    async def finish(self, asked: Outcome, callback: Callback = SUCCESS) -> Job:
        assert asked.making is not None
        return (await self.tasks.callback(asked.making.job_id, callback)).job

    async def fail(self, asked: Outcome) -> Job:
        assert asked.making is not None
        return await self.tasks._changes.apply(
            asked.making.job_id, Failed(error=JobError(type="x", detail="no such user"))
        )


@pytest.fixture
async def bench() -> AsyncIterator[Reports]:
    made = Reports()
    yield made
    await made.tasks.close()


async def test_what_is_not_there_is_begun_once_and_joined_by_all_others(bench: Reports) -> None:
    first, *others = await asyncio.gather(*(bench.ask(f"client {number}") for number in range(500)))
    assert first.making is not None
    assert (first.made, first.fresh, first.age) == (None, False, timedelta())
    assert {other.making.job_id for other in others if other.making} == {first.making.job_id}
    assert [asked.joined for asked in (first, *others)].count(False) == 1
    assert len(bench.jobs.jobs) == 1
    assert (await bench.ask("late")).joined


async def test_a_fresh_result_answers_and_begins_nothing(bench: Reports) -> None:
    done = await bench.finish(await bench.ask())
    bench.clock.move(DAY - SECOND)
    asked = await bench.ask()
    assert asked.made is not None
    assert (asked.made.job_id, asked.made.version) == (done.job_id, done.version)
    assert (asked.fresh, asked.age, asked.making) == (True, DAY - SECOND, None)
    assert asked.params == TIDES


async def test_a_stale_result_answers_while_a_newer_one_is_made(bench: Reports) -> None:
    old = await bench.finish(await bench.ask())
    bench.clock.move(DAY)
    first, second = await bench.ask(), await bench.ask("bob")
    for asked in (first, second):
        assert asked.made is not None
        assert (asked.made.job_id, asked.fresh) == (old.job_id, False)
    assert first.making is not None
    assert second.making is not None
    assert (first.making.job_id, first.joined, second.joined) == (second.making.job_id, False, True)
    new = await bench.finish(second)
    asked = await bench.ask()
    assert asked.made is not None
    assert (asked.made.job_id, asked.fresh, asked.making) == (new.job_id, True, None)


async def test_whoever_has_no_key_sees_the_result_at_any_age_and_begins_nothing(bench: Reports) -> None:
    assert (await bench.ask(None)).making is None
    await bench.finish(await bench.ask())
    bench.clock.move(30 * DAY)
    asked = await bench.ask(None)
    assert (asked.fresh, asked.age, asked.making) == (False, 30 * DAY, None)
    assert len(bench.jobs.jobs) == 1


async def test_whoever_has_no_key_sees_nothing_of_a_workflow_that_does_not_allow_it(bench: Reports) -> None:
    with pytest.raises(NotAuthentic):
        await bench.freshness.ask(None, SECRET.name, TIDES)
    assert (await bench.freshness.ask("me", SECRET.name, TIDES)).making is not None


async def test_a_result_that_never_is_fresh_is_made_anew_each_time(bench: Reports) -> None:
    await bench.finish(await bench.freshness.ask("me", SECRET.name, TIDES))
    again = await bench.freshness.ask("me", SECRET.name, TIDES)
    assert (again.fresh, again.made is None, again.making is None) == (False, False, False)


async def test_a_failed_refresh_keeps_the_old_result_says_so_and_is_not_tried_again_at_once(bench: Reports) -> None:
    old = await bench.finish(await bench.ask())
    bench.clock.move(DAY)
    failed = await bench.fail(await bench.ask())
    asked = await bench.ask()
    assert asked.made is not None
    assert asked.failed is not None
    assert (asked.made.job_id, asked.failed.job_id, asked.making) == (old.job_id, failed.job_id, None)
    assert asked.again_at == bench.clock() + PAUSE
    bench.clock.move(PAUSE)
    asked = await bench.ask()
    assert (asked.making is None, asked.again_at, asked.failed is None) == (False, None, False)
    await bench.finish(asked)
    assert (await bench.ask()).failed is None


async def test_a_try_that_failed_before_there_was_a_result_is_told_and_made_again_after_a_pause(bench: Reports) -> None:
    await bench.fail(await bench.ask())
    asked = await bench.ask()
    assert asked.failed is not None
    assert asked.failed.error is not None
    assert (asked.failed.error.detail, asked.made, asked.making) == ("no such user", None, None)
    bench.clock.move(PAUSE)
    assert (await bench.ask()).making is not None


async def test_a_cancelled_job_leaves_no_trace_and_the_next_who_asks_begins_anew(bench: Reports) -> None:
    first = await bench.ask()
    assert first.making is not None
    await bench.tasks.cancel(first.making.job_id)
    second = await bench.ask()
    assert second.making is not None
    assert (second.making.job_id != first.making.job_id, second.failed) == (True, None)


async def test_a_result_that_was_made_between_looking_and_asking_answers(bench: Reports) -> None:
    standing = bench.search.standing

    async def slow(dedup_key: str) -> object:
        found = await standing(dedup_key)
        bench.search.standing = standing  # type: ignore[method-assign]
        await bench.finish(await bench.ask("somebody faster"))
        return found

    bench.search.standing = slow  # type: ignore[method-assign,assignment]
    asked = await bench.ask()
    assert asked.made is not None
    assert (asked.fresh, asked.making, len(bench.jobs.jobs)) == (True, None, 1)


async def test_a_client_over_its_quota_still_gets_what_there_is() -> None:
    bench = Reports(Quotas(unfinished=Quota(name="unfinished", most=1)))
    await bench.finish(await bench.ask())
    bench.clock.move(DAY)
    await bench.freshness.ask("me", SECRET.name, TIDES)
    asked = await bench.ask()
    assert (asked.made is None, asked.making) == (False, None)
    with pytest.raises(OverQuota):
        await bench.freshness.ask("me", REPORT.name, {"topic": "stars"})
    await bench.tasks.close()


async def test_only_outcomes_that_parameters_name_can_be_asked_for(bench: Reports) -> None:
    for declared, params in ((REPORT, {}), (SCAN, TIDES)):
        with pytest.raises(Invalid):
            await bench.freshness.ask("me", declared.name, params)


async def test_a_workflow_that_is_not_here_is_not_found(bench: Reports) -> None:
    with pytest.raises(NotFound):
        await bench.freshness.ask("me", "horoscope", TIDES)


async def test_handing_in_what_was_made_freshly_gives_the_job_that_made_it(bench: Reports) -> None:
    done = await bench.finish(await bench.ask())
    submitted = await bench.tasks.submit(
        "bob", parts(ParamPart("workflow", "report"), ParamPart("topic", "tides")), None
    )
    assert (submitted.job.job_id, submitted.joined, submitted.job.status) == (done.job_id, True, JobStatus.SUCCESS)
    bench.clock.move(DAY)
    assert not (
        await bench.tasks.submit("bob", parts(ParamPart("workflow", "report"), ParamPart("topic", "tides")), None)
    ).joined
