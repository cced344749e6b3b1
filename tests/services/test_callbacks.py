"""What a workflow's report means, in every state of its job."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import lifecycle
from app.domain.lifecycle import MOST_NOTES, Periods
from app.domain.models import Job, JobResult, JobStatus, Progress
from app.services.callbacks import Callback, CallbackStatus, read_callback
from tests.domain.test_lifecycle import AT, EVENTS, accepted, in_status

PERIODS = Periods()


def report(status: CallbackStatus = "processing", **changes: object) -> Callback:
    base = Callback(status=status, progress=Progress(), result=JobResult())
    return replace(base, **changes)  # type: ignore[arg-type]


def applied(job: Job, callback: Callback) -> tuple[Job, str | None]:
    reading = read_callback(job, callback, PERIODS)
    for event in reading.events:
        job, _ = lifecycle.advance(job, event, AT)
    return job, reading.reason


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.WAITING])
def test_progress_before_the_deliverys_own_answer_means_that_it_was_delivered(status: JobStatus) -> None:
    job, reason = applied(in_status(status), report(progress=Progress(fraction=0.4, message="Creating the page")))
    assert (job.status, reason) == (JobStatus.WAITING, None)
    assert job.progress == Progress(fraction=0.4, message="Creating the page")
    assert job.delivered_at == AT


def test_progress_never_goes_back() -> None:
    job, _ = applied(in_status(JobStatus.WAITING), report(progress=Progress(fraction=0.8, step=4, steps=5)))
    for late in (Progress(fraction=0.4, message="old"), Progress(step=3)):
        after, reason = applied(job, report(progress=late))
        assert reason == "behind the progress already reported"
        assert after.progress == job.progress


def test_progress_keeps_what_a_later_report_leaves_out() -> None:
    job, _ = applied(in_status(JobStatus.WAITING), report(progress=Progress(step=2, steps=5, message="two")))
    job, reason = applied(job, report(progress=Progress(fraction=0.5)))
    assert (job.progress, reason) == (Progress(fraction=0.5, step=2, steps=5, message="two"), None)


def test_the_same_progress_again_is_a_repeat_unless_it_brings_the_execution_id() -> None:
    job, _ = applied(in_status(JobStatus.WAITING), report(progress=Progress(fraction=0.5)))
    assert applied(job, report(progress=Progress(fraction=0.5)))[1] == "a repeat"
    job, reason = applied(job, report(progress=Progress(fraction=0.5), execution_id="231"))
    assert (job.execution_id, reason) == ("231", None)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.WAITING, JobStatus.FAILURE])
def test_a_success_is_applied_while_the_job_is_open_and_after_a_failure(status: JobStatus) -> None:
    done = JobResult(message="Page created", notion_page_url="https://www.notion.so/x", data={"any": "JSON"})
    job, reason = applied(in_status(status), report("success", result=done, execution_id="232"))
    assert (job.status, job.result, job.execution_id, reason) == (JobStatus.SUCCESS, done, "232", None)


def test_a_second_success_is_a_repeat_and_another_one_a_contradiction() -> None:
    job = in_status(JobStatus.SUCCESS)
    after, reason = applied(job, report("success", result=job.result))
    assert (after.result, reason) == (job.result, "a repeat")
    after, reason = applied(job, report("success", result=JobResult(message="other")))
    assert (after.result, reason) == (job.result, "the job has ended: success")


def test_a_failure_says_why_in_the_workflows_own_words() -> None:
    words = "Notion said: database not found"
    job, _ = applied(in_status(JobStatus.WAITING), report("failure", error=words, result=JobResult(message="No page")))
    assert job.error is not None
    assert (job.status, job.error.type, job.error.detail) == (JobStatus.FAILURE, "workflow", words)
    assert job.result.message == "No page"


@pytest.mark.parametrize(
    ("callback", "detail"),
    [
        (report("failure", result=JobResult(message="No page")), "No page"),
        (report("failure"), "the workflow reported a failure"),
    ],
)
def test_a_failure_without_an_error_still_has_words(callback: Callback, detail: str) -> None:
    job, _ = applied(in_status(JobStatus.PROCESSING), callback)
    assert job.error is not None
    assert job.error.detail == detail
    assert applied(job, callback)[1] == "a repeat"


@pytest.mark.parametrize(
    ("status", "reported"),
    list(product([JobStatus.CANCELLED], ["processing", "success", "failure"]))
    + list(product([JobStatus.SUCCESS], ["processing", "failure"]))
    + list(product([JobStatus.FAILURE], ["processing", "failure"])),
)
def test_what_comes_after_the_end_is_evidence_and_changes_nothing(status: JobStatus, reported: CallbackStatus) -> None:
    job = in_status(status)
    reading = read_callback(job, report(reported, error="late", result=JobResult(message="late")), PERIODS)
    assert reading.reason == f"the job has ended: {status}"
    after, line = lifecycle.advance(job, reading.events[0], AT)
    assert replace(after, version=job.version, head=job.head, notes=job.notes) == job
    assert line.detail == {
        "reason": reading.reason, "reported": reported, "reported_message": "late", "reported_error": "late",
    }  # fmt: skip


def test_the_twenty_first_note_is_not_kept_but_still_answered() -> None:
    job = in_status(JobStatus.SUCCESS)
    for _ in range(MOST_NOTES + 5):
        job, reason = applied(job, report("failure"))
        assert reason == "the job has ended: success"
    assert (job.notes, job.version) == (MOST_NOTES, in_status(JobStatus.SUCCESS).version + MOST_NOTES)


REPORTS = st.builds(
    Callback,
    status=st.sampled_from(["processing", "success", "failure"]),
    progress=st.builds(Progress, fraction=st.none() | st.floats(0, 1), step=st.none() | st.integers(1, 9)),
    result=st.builds(JobResult, message=st.none() | st.sampled_from(["a", "b"])),
    error=st.none() | st.just("broken"),
)


@given(st.lists(REPORTS, max_size=30), st.booleans())
def test_no_order_of_reports_makes_a_wrong_state(reports: list[Callback], delivered: bool) -> None:
    job = in_status(JobStatus.WAITING) if delivered else accepted()
    states = [job]
    for callback in reports:
        states.append(applied(states[-1], callback)[0])
    for before, after in pairwise(states):
        assert (after.progress.fraction or 0) >= (before.progress.fraction or 0)
        if before.status is JobStatus.SUCCESS:
            assert (after.status, after.result) == (before.status, before.result)
        if before.status is JobStatus.FAILURE and after.status is not JobStatus.FAILURE:
            assert after.status is JobStatus.SUCCESS
    assert states[-1].notes <= MOST_NOTES


def test_a_cancelled_job_stays_so_whatever_is_reported() -> None:
    job, _ = lifecycle.advance(in_status(JobStatus.WAITING), EVENTS["Cancelled"], AT)
    for status in ("processing", "success", "failure"):
        assert applied(job, report(status))[0].status is JobStatus.CANCELLED
