"""Handing in, told on memory adapters."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.errors import (
    DiskFull,
    IdempotencyKeyReused,
    Invalid,
    Malformed,
    StoreUnavailable,
    TooLarge,
    UnsupportedMediaType,
)
from app.domain.models import AuditEvent, Job, JobStatus, ParamPart
from app.domain.workflow import FileRules
from tests.services.conftest import Bench, parts, workflow


async def test_a_submission_is_stored_rung_for_and_not_waited_for(bench: Bench) -> None:
    submitted = await bench.submit(b"12 coffees", notion_database_id="db")
    job = await bench.get(submitted.job.job_id)
    assert job == submitted.job
    assert (job.status, job.client, job.params) == (JobStatus.QUEUED, "me", {"notion_database_id": "db"})
    assert job.file is not None
    assert (job.file.size, job.file.filename) == (10, "a.txt")
    assert bench.queue.take() == job.job_id
    assert not submitted.replayed


async def test_the_same_key_and_content_give_the_same_job_and_keep_no_second_file(bench: Bench) -> None:
    first, second = await bench.submit(key="order-17"), await bench.submit(key="order-17")
    assert (second.job.job_id, second.replayed) == (first.job.job_id, True)
    assert await bench.files.orphans(timedelta(seconds=-1)) == [first.job.job_id]


async def test_the_same_key_with_other_content_is_refused(bench: Bench) -> None:
    await bench.submit(b"one", key="order-17")
    for content, params in ((b"two", {}), (b"one", {"note": "x"})):
        with pytest.raises(IdempotencyKeyReused) as caught:
            await bench.submit(content, key="order-17", **params)
        assert [problem.field for problem in caught.value.problems] == ["Idempotency-Key"]
    assert len(await bench.files.orphans(timedelta(seconds=-1))) == 1


async def test_two_files_are_refused_and_neither_is_kept(bench: Bench) -> None:
    with pytest.raises(Malformed):
        await bench.tasks.submit("me", parts(("a", b"1"), ("b", b"2")), None)
    assert await bench.files.orphans(timedelta(seconds=-1)) == []


async def test_no_file_where_one_is_wanted_is_refused(bench: Bench) -> None:
    with pytest.raises(Malformed):
        await bench.tasks.submit("me", parts(), None)


@pytest.mark.parametrize("name", ["nothing", 7])
async def test_an_unknown_workflow_is_named_with_those_that_exist(bench: Bench, name: object) -> None:
    with pytest.raises(Invalid) as caught:
        await bench.tasks.submit("me", parts(("a", b"1"), ParamPart("workflow", name)), None)  # type: ignore[arg-type]
    assert caught.value.problems[0].field == "workflow"
    assert "n8n_notion" in caught.value.problems[0].message
    assert await bench.files.orphans(timedelta(seconds=-1)) == []


async def test_a_field_sent_twice_is_refused(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        await bench.tasks.submit("me", parts(ParamPart("x", "1"), ParamPart("x", "2")), None)
    assert caught.value.problems[0].field == "x"


async def test_the_workflows_own_limit_ends_the_upload_early_if_it_is_known() -> None:
    bench = Bench(workflow(file=FileRules(max_size=3)))
    for order in ((ParamPart("workflow", "n8n_notion"), ("a", b"12345")), (("a", b"12345"),)):
        with pytest.raises(TooLarge):
            await bench.tasks.submit("me", parts(*order), None)
    assert await bench.files.orphans(timedelta(seconds=-1)) == []


async def test_a_type_that_the_workflow_does_not_take_is_refused_by_content() -> None:
    bench = Bench(workflow(file=FileRules(media_types=("image/*", "application/pdf"), max_size=1000)))
    with pytest.raises(UnsupportedMediaType, match="text/plain"):
        await bench.tasks.submit("me", parts(("photo.png", b"just text")), None)
    pdf = await bench.tasks.submit("me", parts(("a.txt", b"%PDF-1.7\n")), None)
    assert pdf.job.file is not None
    assert pdf.job.file.media_type == "application/pdf"


async def test_a_workflow_without_a_file_takes_none() -> None:
    bench = Bench(workflow("report", file=None))
    named = ParamPart("workflow", "report")
    for order in ((named, ("a", b"1")), (("a", b"1"), named)):
        with pytest.raises(Invalid) as caught:
            await bench.tasks.submit("me", parts(*order), None)
        assert caught.value.problems[0].field == "file"
    job = (await bench.tasks.submit("me", parts(named, ParamPart("topic", "tides")), None)).job
    assert (job.file, job.params) == (None, {"topic": "tides"})


async def test_a_database_without_room_leaves_no_file(bench: Bench) -> None:
    async def full(_job: Job, _line: AuditEvent, *_: object) -> None:
        raise DiskFull("the database has no room left")

    bench.log.add = full  # type: ignore[method-assign]
    with pytest.raises(DiskFull):
        await bench.submit()
    assert await bench.files.orphans(timedelta(seconds=-1)) == []


async def test_where_the_commit_is_in_doubt_the_file_stays_for_the_sweep(bench: Bench) -> None:
    async def broken(_job: Job, _line: AuditEvent, *_: object) -> None:
        raise StoreUnavailable("the connection broke during the commit")

    bench.log.add = broken  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await bench.submit()
    assert len(await bench.files.orphans(timedelta(seconds=-1))) == 1
