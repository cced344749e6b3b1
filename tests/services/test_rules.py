"""What a workflow declares about sameness and subjects, told on memory adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest

from app.domain.errors import IdempotencyKeyReused
from app.domain.lifecycle import TroubleKind
from app.domain.models import JobId, JobStatus, Json, ParamPart
from app.domain.workflow import LONGEST_KEY
from app.services.task_service import Submitted
from tests.services.conftest import SUCCESS, Bench, delivered, parts, trouble, workflow


def topic(params: Mapping[str, Json]) -> str | None:
    return str(params["topic"]) if "topic" in params else None


REPORT = workflow("report", file=None, dedup=topic, subject=topic)
SCAN = workflow("scan", dedup=topic)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(REPORT, SCAN)
    yield made
    await made.tasks.close()


async def ask(bench: Bench, topic: str | None = "tides", client: str = "me", key: str | None = None) -> Submitted:
    named = [] if topic is None else [ParamPart("topic", topic)]
    return await bench.tasks.submit(client, parts(ParamPart("workflow", "report"), *named), key)


async def scan(bench: Bench, content: bytes) -> Submitted:
    form = parts(ParamPart("workflow", "scan"), ParamPart("topic", "tides"), ("a.txt", content))
    return await bench.tasks.submit("me", form, None)


async def test_whoever_asks_for_the_same_joins_the_job_that_is_making_it(bench: Bench) -> None:
    first, second = await ask(bench), await ask(bench, client="bob")
    assert (first.joined, second.joined, second.replayed) == (False, True, False)
    assert second.job.job_id == first.job.job_id
    assert len(bench.jobs.jobs) == 1


async def test_who_asks_after_the_end_or_for_something_else_gets_a_job_of_their_own(bench: Bench) -> None:
    first, other = await ask(bench), await ask(bench, "stars")
    await bench.tasks.callback(first.job.job_id, SUCCESS)
    again = await ask(bench)
    assert len({first.job.job_id, other.job.job_id, again.job.job_id}) == 3
    assert not again.joined


async def test_a_job_without_an_outcome_of_its_kind_is_joined_by_nobody(bench: Bench) -> None:
    first, second = await ask(bench, None), await ask(bench, None)
    assert first.job.job_id != second.job.job_id
    assert (first.job.dedup_key, first.job.subject) == (None, None)


async def test_another_file_is_another_outcome_and_the_same_file_is_stored_once(bench: Bench) -> None:
    first, other, again = await scan(bench, b"one"), await scan(bench, b"two"), await scan(bench, b"one")
    assert not other.joined
    assert (again.joined, again.job.job_id) == (True, first.job.job_id)
    kept = await bench.files.orphans(timedelta(seconds=-1))
    assert sorted(kept) == sorted([first.job.job_id, other.job.job_id])


async def test_the_same_submission_again_is_a_replay_and_not_a_joining(bench: Bench) -> None:
    first, again = await ask(bench, key="k"), await ask(bench, key="k")
    assert (again.job.job_id, again.replayed, again.joined) == (first.job.job_id, True, False)
    with pytest.raises(IdempotencyKeyReused):
        await ask(bench, "stars", key="k")


async def test_somebody_elses_key_of_the_same_letters_makes_no_replay(bench: Bench) -> None:
    await ask(bench, key="k")
    joined = await ask(bench, client="bob", key="k")
    assert (joined.joined, joined.replayed) == (True, False)


async def test_a_key_answers_with_the_job_that_its_submission_joined_for_as_long_as_that_is_kept(bench: Bench) -> None:
    first, joined = await ask(bench), await ask(bench, client="bob", key="k")
    assert (joined.joined, joined.replayed) == (True, False)
    await bench.tasks.callback(first.job.job_id, SUCCESS)
    again = await ask(bench, client="bob", key="k")
    assert (again.job.job_id, again.joined, again.replayed) == (first.job.job_id, True, True)
    with pytest.raises(IdempotencyKeyReused):
        await ask(bench, "stars", client="bob", key="k")
    await bench.tasks.erase(first.job.job_id)
    assert (await ask(bench, client="bob", key="k")).job.job_id != first.job.job_id


async def test_a_retry_joins_the_job_that_makes_the_same_by_now(bench: Bench) -> None:
    cancelled = (await ask(bench)).job
    await bench.tasks.cancel(cancelled.job_id)
    now = await ask(bench, client="bob")
    joined = await bench.tasks.retry("me", cancelled.job_id)
    assert (joined.job.job_id, joined.joined, joined.replayed) == (now.job.job_id, True, False)
    await bench.tasks.cancel(now.job.job_id)
    retried = await bench.tasks.retry("me", cancelled.job_id)
    assert (retried.job.subject, retried.job.dedup_key) == ("tides", "report:tides")
    assert (await bench.tasks.retry("me", cancelled.job_id)).replayed


async def test_keys_that_no_index_takes_are_told_by_their_digest(bench: Bench) -> None:
    long = "ü" * LONGEST_KEY
    first, second = await ask(bench, long), await ask(bench, long + "!")
    for job in (first.job, second.job):
        assert job.dedup_key is not None
        assert job.subject is not None
        assert max(len(job.dedup_key.encode()), len(job.subject.encode())) <= LONGEST_KEY
    assert first.job.subject != second.job.subject
    assert (await ask(bench, long)).joined


async def queue_up(bench: Bench) -> list[JobId]:
    """Jobs about one subject with different outcomes, by name: the file makes them so."""
    bench.workflows["scan"] = workflow("scan", subject=topic)
    jobs = []
    for content in (b"1", b"2", b"3"):
        jobs.append((await scan(bench, content)).job.job_id)
        bench.clock.move(timedelta(seconds=1))
    return jobs


async def test_jobs_about_one_subject_run_one_at_a_time_the_oldest_first(bench: Bench) -> None:
    first, second, third = await queue_up(bench)
    assert await bench.tasks.run(third) == "in line behind others"
    assert await bench.tasks.run(first) == "Delivered"
    assert await bench.tasks.run(second) == "in line behind others"
    assert (await bench.get(second)).status is JobStatus.QUEUED
    assert await bench.types(second) == ["Accepted"]


async def test_the_sweep_finds_whose_turn_it_is_although_the_doorbell_was_used_up(bench: Bench) -> None:
    first, second, third = await queue_up(bench)
    assert await bench.sweep() == [first]
    await bench.tasks.run(first)
    assert await bench.sweep() == []
    assert [await bench.tasks.run(job_id) for job_id in (second, third)] == ["in line behind others"] * 2
    await bench.tasks.callback(first, SUCCESS)
    assert await bench.sweep() == [second]


async def test_a_job_that_is_to_be_tried_again_keeps_its_place_and_one_that_failed_gives_it_up(bench: Bench) -> None:
    first, second, _ = await queue_up(bench)
    bench.runner.script = [trouble(TroubleKind.UNAVAILABLE), delivered]
    assert await bench.tasks.run(first) == "Postponed"
    assert await bench.tasks.run(second) == "in line behind others"
    bench.clock.move(timedelta(minutes=1))
    assert await bench.sweep() == [first]
    assert await bench.tasks.run(first) == "Delivered"
    bench.clock.move(timedelta(days=2))
    await bench.sweep()  # its callback never came
    assert (await bench.get(first)).status is JobStatus.FAILURE
    assert await bench.tasks.run(second) == "Delivered"
