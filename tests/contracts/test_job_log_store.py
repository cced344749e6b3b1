"""What every JobLogStore promises."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from app.domain import audit, lifecycle, verification
from app.domain.errors import DuplicateJob, JobNotFound, StaleJob
from app.domain.lifecycle import Progressed
from app.domain.models import JobId, JobResult, JobStatus, Progress, Trouble, new_job_id
from tests.contracts.sql_fixtures import Stores, refusal
from tests.jobs import (
    AT,
    CANCELLED,
    COMPLETED,
    DELIVERED,
    ERASED,
    FAILED,
    NOTED,
    STARTED,
    accepted,
    after,
    draft,
    history,
    receipt,
)

HALF_WAY = Progressed(
    progress=Progress(fraction=0.4, step=2, steps=5, message="Creating the page"), due_in=timedelta(0)
)


async def test_add_stores_a_jobs_first_version_and_its_first_audit_line(stores: Stores) -> None:
    job, line = accepted(subject="Ada", idempotency_key="k", fingerprint="f", dedup_key="d")
    await stores.log.add(job, line)
    assert await stores.log.get(job.job_id) == job
    assert await stores.log.history(job.job_id) == [line]


async def test_a_job_without_a_file_comes_back_as_it_was(stores: Stores) -> None:
    job = await stores.added(file=None, params={})
    assert await stores.log.get(job.job_id) == job


async def test_every_column_comes_back_as_it_was(stores: Stores) -> None:
    job = await stores.added(STARTED, DELIVERED, HALF_WAY, FAILED, params={"ä": [1, None, {"b": True}], "z": 1.5})
    full = replace(
        job,
        version=job.version + 1,
        trouble=Trouble(kind="no_answer", since=AT, count=3),
        result=JobResult(message="m", notion_page_url="https://notion.example/p", data={"a": ["ü", 0, False]}),
        lost_leases=2,
        notes=7,
        file_removed_at=AT,
    )
    _, line = after(job, NOTED)
    await stores.log.record(full, line)
    assert await stores.log.get(job.job_id) == full


@pytest.mark.parametrize(
    "text", ['"', "\\", "\\u0041", "'; --", "a\tb\nc\u2028", '{"a": [1]}', "😀", "%s :name $1", "null", ""]
)
async def test_a_text_comes_back_as_it_was_whatever_it_holds(stores: Stores, text: str) -> None:
    made = [accepted(file=receipt(filename=text), params={text: text}, client=text) for _ in range(3)]
    await asyncio.gather(*(stores.log.add(*one) for one in made))
    assert [(await stores.log.get(job.job_id), *await stores.log.history(job.job_id)) for job, _ in made] == made


async def test_times_come_back_zone_aware_and_to_the_microsecond_whatever_zone_they_went_in_with(
    stores: Stores,
) -> None:
    odd = datetime(2026, 10, 25, 2, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=-9, minutes=-30)))
    job = await stores.added(created_at=odd)
    found = await stores.log.get(job.job_id)
    assert found.created_at == odd
    assert found.created_at.utcoffset() is not None
    assert (await stores.log.history(job.job_id))[0].at == odd


async def test_duplicate_job_names_the_holder_when_the_clients_idempotency_key_is_taken(stores: Stores) -> None:
    first = await stores.added(STARTED, COMPLETED, idempotency_key="k")
    error = await refusal(stores.log.add(*accepted(idempotency_key="k")))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == first.job_id


async def test_two_clients_may_use_the_same_idempotency_key(stores: Stores) -> None:
    await stores.added(idempotency_key="k", client="ada")
    await stores.added(idempotency_key="k", client="bob")


async def test_duplicate_job_when_an_unfinished_job_has_the_same_dedup_key(stores: Stores) -> None:
    first = await stores.added(dedup_key="d")
    error = await refusal(stores.log.add(*accepted(dedup_key="d", client="bob")))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == first.job_id
    await stores.happened(first, CANCELLED)
    await stores.added(dedup_key="d")


async def test_duplicate_job_when_an_unfinished_job_is_a_retry_of_the_same_job(stores: Stores) -> None:
    failed = await stores.added(FAILED)
    first = await stores.added(retry_of=failed.job_id)
    error = await refusal(stores.log.add(*accepted(retry_of=failed.job_id)))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == first.job_id
    await stores.happened(first, FAILED)
    await stores.added(retry_of=failed.job_id)


async def test_a_job_cannot_be_added_twice(stores: Stores) -> None:
    job, line = accepted()
    await stores.log.add(job, line)
    error = await refusal(stores.log.add(job, line))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == job.job_id
    assert await stores.log.history(job.job_id) == [line]


async def test_nothing_is_stored_of_a_duplicate(stores: Stores) -> None:
    await stores.added(idempotency_key="k")
    job, line = accepted(idempotency_key="k")
    await refusal(stores.log.add(job, line))
    assert isinstance(await refusal(stores.log.get(job.job_id)), JobNotFound)
    assert [found async for found in stores.log.walk(job.job_id)] == []


async def test_of_adds_with_one_idempotency_key_at_the_same_time_one_wins_and_names_itself_to_the_others(
    stores: Stores,
) -> None:
    rivals = [accepted(idempotency_key="k") for _ in range(8)]
    others = [accepted(idempotency_key=f"k{number}") for number in range(8)]
    mixed = [one for pair in zip(rivals, others, strict=True) for one in pair]
    told = await asyncio.gather(*(stores.log.add(*one) for one in mixed), return_exceptions=True)
    winners = [job.job_id for (job, _), answer in zip(mixed, told, strict=True) if answer is None]
    losers = [answer for answer in told if answer is not None]
    assert len(winners) == 9
    assert len(losers) == 7
    winner = next(job.job_id for job, _ in rivals if job.job_id in winners)
    assert all(isinstance(loser, DuplicateJob) and loser.job_id == winner for loser in losers)


async def test_record_replaces_the_version_and_appends_the_line(stores: Stores) -> None:
    job = await stores.added()
    started, line = after(job, STARTED)
    await stores.log.record(started, line)
    assert await stores.log.get(job.job_id) == started
    assert (await stores.log.history(job.job_id))[-1] == line


async def test_the_slower_of_two_writers_is_told(stores: Stores) -> None:
    job = await stores.added()
    await stores.log.record(*after(job, STARTED))
    error = await refusal(stores.log.record(*after(job, CANCELLED)))
    assert isinstance(error, StaleJob)
    assert (await stores.log.get(job.job_id)).status is JobStatus.PROCESSING
    assert len(await stores.log.history(job.job_id)) == 2


async def test_a_version_that_skips_one_is_stale(stores: Stores) -> None:
    job = await stores.added()
    assert isinstance(await refusal(stores.log.record(*after(job, STARTED, DELIVERED))), StaleJob)


async def test_recording_a_job_that_is_not_there_is_job_not_found(stores: Stores) -> None:
    job, _ = accepted()
    assert isinstance(await refusal(stores.log.record(*after(job, STARTED))), JobNotFound)
    assert [found async for found in stores.log.walk(job.job_id)] == []


async def test_of_eight_racing_writers_one_wins_each_round(stores: Stores) -> None:
    job = await stores.added()
    for _ in range(5):
        rivals = [after(job, replace(NOTED, words={"writer": number})) for number in range(8)]
        told = await asyncio.gather(*(stores.log.record(*one) for one in rivals), return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in told) == ["NoneType"] + ["StaleJob"] * 7
        job = await stores.log.get(job.job_id)
    found, lines = await stores.chain(job.job_id)
    assert verification.verify(found, job.job_id, lines) is None
    assert job.version == 6


async def test_a_member_that_fails_in_a_batch_fails_alone(stores: Stores) -> None:
    jobs = [await stores.added() for _ in range(6)]
    stale = [after(job, STARTED, DELIVERED) for job in jobs[:2]]
    good = [after(job, STARTED) for job in jobs[2:]]
    missing = after(draft(version=1), STARTED)
    told = await asyncio.gather(*(stores.log.record(*one) for one in [*stale, *good, missing]), return_exceptions=True)
    assert [type(answer) for answer in told] == [StaleJob] * 2 + [type(None)] * 4 + [JobNotFound]
    for job, line in good:
        assert (await stores.log.history(job.job_id))[-1] == line


async def test_lines_of_one_job_that_are_handed_in_together_keep_their_order(stores: Stores) -> None:
    jobs = [await stores.added() for _ in range(4)]
    steps = [history(job, STARTED, DELIVERED, HALF_WAY, COMPLETED) for job in jobs]
    await asyncio.gather(*(stores.log.record(*step) for turn in zip(*steps, strict=True) for step in turn))
    for job in jobs:
        found, lines = await stores.chain(job.job_id)
        assert verification.verify(found, job.job_id, lines) is None
        assert found is not None
        assert found.status is JobStatus.SUCCESS


async def test_a_job_may_be_added_and_recorded_at_the_same_time(stores: Stores) -> None:
    job, line = accepted()
    await asyncio.gather(stores.log.add(job, line), stores.log.record(*after(job, STARTED)))
    assert (await stores.log.get(job.job_id)).version == 2


async def test_every_method_may_be_called_from_any_event_loop(stores: Stores) -> None:
    job = await stores.added()
    answers: list[object] = []

    async def work() -> None:
        await stores.log.record(*after(job, STARTED))
        answers.append(await stores.log.get(job.job_id))
        answers.append(await stores.agenda.renew({job.job_id: 1}, AT))
        answers.append((await stores.search.page()).jobs[0].job_id)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert answers[1:] == [{job.job_id}, job.job_id]


async def test_get_raises_job_not_found(stores: Stores) -> None:
    assert isinstance(await refusal(stores.log.get(new_job_id(AT))), JobNotFound)


async def test_history_gives_the_lines_with_a_greater_version_in_order(stores: Stores) -> None:
    job = await stores.added(STARTED, DELIVERED, COMPLETED)
    assert [line.version for line in await stores.log.history(job.job_id)] == [1, 2, 3, 4]
    assert [line.version for line in await stores.log.history(job.job_id, after=2)] == [3, 4]
    assert await stores.log.history(job.job_id, after=4) == []


async def test_history_raises_job_not_found(stores: Stores) -> None:
    assert isinstance(await refusal(stores.log.history(new_job_id(AT))), JobNotFound)


async def test_the_stored_history_folds_to_the_stored_row(stores: Stores) -> None:
    for events in ([], [STARTED, DELIVERED, HALF_WAY, COMPLETED], [STARTED, FAILED, COMPLETED], [CANCELLED, NOTED]):
        job = await stores.added(*events)
        found, lines = await stores.chain(job.job_id)
        assert found == job
        assert verification.verify(found, job.job_id, lines) is None


async def test_erase_removes_details_salt_and_personal_columns_and_leaves_the_chain_sound(stores: Stores) -> None:
    job = await stores.added(
        STARTED, HALF_WAY, FAILED, subject="Ada", idempotency_key="k", dedup_key="d", fingerprint="f"
    )
    await stores.log.erase(*lifecycle.advance(job, ERASED, AT))
    found, lines = await stores.chain(job.job_id)
    assert found is not None
    assert verification.verify(found, job.job_id, lines) is None
    assert [line.detail for line in lines] == [None] * 5
    assert found.salt is None
    assert audit.changed(None, audit.details(found)) == {"client": "", "filename": "", "sha256": "", "error_detail": ""}
    assert found.file == receipt(filename="", sha256="")
    assert found.error is not None
    assert found.error.type == "workflow"
    assert (await stores.log.get(job.job_id)).version == 5


async def test_a_line_that_is_recorded_together_with_the_erasure_leaves_no_detail(stores: Stores) -> None:
    job = await stores.added(STARTED)
    (failed, failed_line), (erased, erased_line) = history(job, FAILED, ERASED)
    await asyncio.gather(stores.log.record(failed, failed_line), stores.log.erase(erased, erased_line))
    found, lines = await stores.chain(job.job_id)
    assert [line.detail for line in lines] == [None] * 4
    assert verification.verify(found, job.job_id, lines) is None


async def test_the_key_of_an_erased_job_is_free_again(stores: Stores) -> None:
    job = await stores.added(FAILED, idempotency_key="k")
    await stores.log.erase(*lifecycle.advance(job, ERASED, AT))
    await stores.added(idempotency_key="k")


async def test_a_stale_erasure_is_told_and_removes_nothing(stores: Stores) -> None:
    job = await stores.added(FAILED)
    stale = lifecycle.advance(job, ERASED, AT)
    await stores.happened(job, NOTED)
    assert isinstance(await refusal(stores.log.erase(*stale)), StaleJob)
    assert all(line.detail for line in (await stores.log.history(job.job_id))[:2])


async def test_an_erased_job_can_still_be_noted(stores: Stores) -> None:
    job = await stores.added(FAILED)
    await stores.log.erase(*lifecycle.advance(job, ERASED, AT))
    await stores.happened(await stores.log.get(job.job_id), NOTED)
    found, lines = await stores.chain(job.job_id)
    assert verification.verify(found, job.job_id, lines) is None


async def test_where_the_job_ends_one_notice_is_stored_in_the_same_transaction(stores: Stores) -> None:
    job = await stores.added(STARTED)
    assert await stores.notices.due(AT + timedelta(days=1), 10) == []
    failed, line = after(job, FAILED)
    await stores.log.record(failed, line)
    (notice,) = await stores.notices.due(line.at, 10)
    assert (notice.job_id, notice.version, notice.due_at, notice.tries) == (job.job_id, 3, line.at, 0)
    noted, note = after(failed, NOTED)
    await stores.log.record(noted, note)
    assert len(await stores.notices.due(AT + timedelta(days=1), 10)) == 1
    await stores.happened(noted, COMPLETED)
    assert len(await stores.notices.due(AT + timedelta(days=1), 10)) == 2


async def test_a_store_that_was_not_told_to_keep_notices_keeps_none(stores: Stores) -> None:
    job, line = accepted()
    await stores.quiet.add(job, line)
    await stores.quiet.record(*after(job, CANCELLED))
    assert await stores.notices.due(AT + timedelta(days=1), 10) == []


async def test_walk_gives_every_job_with_all_its_lines_in_stored_order(stores: Stores) -> None:
    jobs = [await stores.added(STARTED) for _ in range(7)]
    walked = [found async for found in stores.log.walk()]
    assert [job_id for job_id, _, _, _ in walked] == sorted(job.job_id for job in jobs)
    for job_id, job, lines, _ in walked:
        assert [line.version for line in lines] == [1, 2]
        assert verification.verify(job, job_id, lines) is None


async def test_walk_gives_one_job_when_asked_for_one_and_nothing_for_an_unknown_id(stores: Stores) -> None:
    job = await stores.added()
    await stores.added()
    assert [found async for found, _, _, _ in stores.log.walk(job.job_id)] == [job.job_id]
    unknown: JobId = new_job_id(AT)
    assert [found async for found in stores.log.walk(unknown)] == []


@pytest.mark.parametrize("count", [1, 64])
async def test_what_this_process_has_just_stored_is_read_at_once(stores: Stores, count: int) -> None:
    async def hand_in() -> None:
        job, line = accepted()
        await stores.log.add(job, line)
        assert await stores.log.get(job.job_id) == job

    await asyncio.gather(*(hand_in() for _ in range(count)))


async def test_walks_over_ranges_of_ids_that_follow_each_other_leave_nothing_out_and_nothing_twice(
    stores: Stores,
) -> None:
    jobs = sorted([(await stores.added()).job_id for _ in range(7)])
    spans = itertools.pairwise([None, jobs[1], jobs[4], None])
    walked = []
    for first, last in spans:
        walked += [found async for found, _, _, _ in stores.log.walk(after=first, to=last)]
    assert walked == jobs
