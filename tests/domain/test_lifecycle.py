"""The life of a job against a drawing made by hand, and against random histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import lifecycle, verification
from app.domain.errors import DeliveryTrouble, IllegalTransition, Misconfigured, NotDue, Race, StaleAttempt
from app.domain.lifecycle import (
    Accepted,
    Cancelled,
    Completed,
    Delivered,
    Event,
    Failed,
    Noted,
    NoteKind,
    Periods,
    Postponed,
    Progressed,
    Started,
    TroubleKind,
)
from app.domain.models import (
    FileUploadInfo,
    Job,
    JobError,
    JobResult,
    JobStatus,
    Progress,
    Trouble,
    created_at,
    new_job_id,
)

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PERIODS = Periods()
FILE = FileUploadInfo(filename="receipt.png", size=3, sha256="ab" * 32, media_type="image/png")

# docs/lifecycle.md draws the same. Typed by hand: a table that is its own oracle misses a deleted cell.
DRAWING = """
            Started     Delivered  Progressed  Postponed  Completed  Failed   Cancelled  Noted
queued      processing  waiting    -           -          success    failure  cancelled  queued
processing  -           waiting    processing  queued     success    failure  cancelled  processing
waiting     -           waiting    waiting     queued     success    failure  cancelled  waiting
success     -           -          -           -          -          -        -          success
failure     -           -          -           -          success    -        -          failure
cancelled   -           -          -           -          -          -        -          cancelled
"""
EVENTS: dict[str, Event] = {
    "Started": Started(lease=10 * SECOND),
    "Delivered": Delivered(due_in=60 * SECOND),
    "Progressed": Progressed(progress=Progress(fraction=0.5), due_in=60 * SECOND),
    "Postponed": Postponed(delay=5 * SECOND, trouble=TroubleKind.UNAVAILABLE),
    "Completed": Completed(result=JobResult(message="done")),
    "Failed": Failed(error=JobError(type="workflow", detail="broken")),
    "Cancelled": Cancelled(),
    "Noted": Noted(kind=NoteKind.CALLBACK),
}


def accepted() -> Job:
    draft = Job(
        job_id=new_job_id(AT), client="me", workflow="n8n_notion", created_at=AT, due_at=AT, salt="5a" * 16, file=FILE
    )
    return lifecycle.accept(draft, AT)[0]


def in_status(status: JobStatus) -> Job:
    paths: dict[JobStatus, list[str]] = {
        JobStatus.QUEUED: [],
        JobStatus.PROCESSING: ["Started"],
        JobStatus.WAITING: ["Started", "Delivered"],
        JobStatus.SUCCESS: ["Started", "Delivered", "Completed"],
        JobStatus.FAILURE: ["Started", "Failed"],
        JobStatus.CANCELLED: ["Cancelled"],
    }
    job = accepted()
    for name in paths[status]:
        job, _ = lifecycle.advance(job, EVENTS[name], AT)
    assert job.status is status
    return job


def cells() -> list[tuple[JobStatus, str, str]]:
    head, *rows = DRAWING.strip().splitlines()
    return [
        (JobStatus(status), name, cell)
        for status, *row in (line.split() for line in rows)
        for name, cell in zip(head.split(), row, strict=True)
    ]


@pytest.mark.parametrize(("status", "name", "cell"), cells())
def test_every_cell_is_as_drawn(status: JobStatus, name: str, cell: str) -> None:
    job = in_status(status)
    if cell == "-":
        with pytest.raises(IllegalTransition):
            lifecycle.advance(job, EVENTS[name], AT)
        return
    after, line = lifecycle.advance(job, EVENTS[name], AT)
    assert (after.status, line.before, line.after, line.type) == (cell, status, cell, name)


def test_the_drawing_has_every_event_and_every_status() -> None:
    assert {name for _, name, _ in cells()} == {event.__name__ for event in Event.__subclasses__()} - {"Accepted"}
    assert {status for status, _, _ in cells()} == set(JobStatus)
    assert not any(Accepted in row for row in lifecycle.TRANSITIONS.values())


EVENT = st.sampled_from(
    [
        *EVENTS.values(),
        Delivered(due_in=60 * SECOND, trouble=TroubleKind.NO_ANSWER, words={"answer": "timed out"}),
        Postponed(delay=timedelta(), lost=True),
        Failed(error=JobError(type="worker_lost", detail="x"), lost=True),
        Noted(kind=NoteKind.OVERDUE, due_in=60 * SECOND),
        Noted(kind=NoteKind.FILE_REMOVED),
        Progressed(progress=Progress(fraction=0.123, step=1, steps=3, message="früh"), due_in=SECOND, execution_id="7"),
    ]
)


@given(st.lists(st.tuples(EVENT, st.integers(0, 100)), max_size=40))
def test_no_history_leaves_a_final_state_loses_a_due_time_or_breaks_the_chain(history: list[tuple[Event, int]]) -> None:
    draft = replace(accepted(), version=0, head="", file=FILE)
    job, line = lifecycle.accept(draft, AT)
    lines, at = [line], AT
    for event, seconds in history:
        at += seconds * SECOND
        try:
            after, line = lifecycle.advance(job, event, at)
        except Race:
            continue
        if job.status in (JobStatus.SUCCESS, JobStatus.CANCELLED):
            assert after.status is job.status
        if job.status is JobStatus.FAILURE:
            assert after.status in (JobStatus.FAILURE, JobStatus.SUCCESS)
        assert (after.due_at is None) == after.status.ended
        assert (after.version, line.version, after.head) == (job.version + 1, job.version + 1, line.hash)
        assert after.attempt - job.attempt == (type(event) is Started)
        job = after
        lines.append(line)
    assert verification.verify(job, job.job_id, lines) is None


def test_a_job_is_not_started_before_its_time() -> None:
    job, _ = lifecycle.advance(in_status(JobStatus.PROCESSING), EVENTS["Postponed"], AT)
    with pytest.raises(NotDue):
        lifecycle.advance(job, EVENTS["Started"], AT + 4 * SECOND)
    assert lifecycle.advance(job, EVENTS["Started"], AT + 5 * SECOND)[0].attempt == 2


def test_a_worker_speaks_only_for_its_own_attempt() -> None:
    job = in_status(JobStatus.PROCESSING)
    with pytest.raises(StaleAttempt):
        lifecycle.advance(job, Delivered(attempt=7, due_in=SECOND), AT)


def test_the_workflows_voice_before_its_own_answer_keeps_the_first_delivery_time() -> None:
    job = in_status(JobStatus.WAITING)
    later, _ = lifecycle.advance(job, Delivered(attempt=1, due_in=SECOND, execution_id="231"), AT + 5 * SECOND)
    assert (later.delivered_at, later.due_at, later.execution_id) == (job.delivered_at, job.due_at, "231")


def test_a_success_after_a_failure_clears_the_error() -> None:
    job, _ = lifecycle.advance(in_status(JobStatus.FAILURE), EVENTS["Completed"], AT + SECOND)
    assert (job.status, job.error, job.completed_at) == (JobStatus.SUCCESS, None, AT + SECOND)


def test_progress_ends_the_doubt_about_a_delivery() -> None:
    doubt = Delivered(due_in=60 * SECOND, trouble=TroubleKind.NO_ANSWER)
    job, _ = lifecycle.advance(in_status(JobStatus.PROCESSING), doubt, AT)
    assert job.trouble == Trouble(kind="no_answer", since=AT, count=1)
    job, _ = lifecycle.advance(job, Progressed(progress=Progress(fraction=0.1), due_in=900 * SECOND), AT + SECOND)
    assert (job.trouble, job.due_at) == (None, AT + 901 * SECOND)


def test_an_erased_job_takes_no_new_details() -> None:
    job = replace(in_status(JobStatus.FAILURE), salt=None)
    _, line = lifecycle.advance(job, Completed(result=JobResult(message="a name")), AT)
    assert (line.detail, line.commitment) == (None, None)


@pytest.mark.parametrize(
    ("count", "seconds"), [(1, 5), (2, 30), (3, 120), (4, 600), (5, 1800), (6, 7200), (7, 18000), (8, None)]
)
def test_the_schedule_is_the_contracts(count: int, seconds: int | None) -> None:
    delay = lifecycle.retry_delay(count, PERIODS, jitter=0)
    assert delay == (None if seconds is None else seconds * SECOND)


def test_a_delay_varies_by_a_fifth_and_honours_a_longer_wish_up_to_a_day() -> None:
    assert lifecycle.retry_delay(1, PERIODS, jitter=1) == 6 * SECOND
    assert lifecycle.retry_delay(1, PERIODS, jitter=-1) == 4 * SECOND
    assert lifecycle.retry_delay(1, PERIODS, 0, retry_after=2 * SECOND) == 5 * SECOND
    assert lifecycle.retry_delay(1, PERIODS, 0, retry_after=50 * SECOND) == 50 * SECOND
    assert lifecycle.retry_delay(1, PERIODS, 0, retry_after=timedelta(days=900)) == timedelta(hours=24)


def tries(kind: TroubleKind, periods: Periods = PERIODS) -> tuple[list[timedelta], Job]:
    """All tries of a delivery that always fails in the same way: the waits between them, and the failed job."""
    job, at, waits = accepted(), AT, []
    while not job.status.ended:
        job, _ = lifecycle.advance(job, EVENTS["Started"], at)
        event = lifecycle.after_trouble(job, DeliveryTrouble(kind, "no"), periods, at, jitter=0)
        job, _ = lifecycle.advance(job, event, at)
        if job.status is JobStatus.WAITING:
            assert job.due_at is not None
            at = job.due_at
            settled = lifecycle.due(job, periods, at, jitter=0)
            assert settled is not None
            job, _ = lifecycle.advance(job, settled, at)
        if job.due_at is not None:
            waits.append(job.due_at - at)
            at = job.due_at
    return waits, job


def test_a_far_side_that_is_away_is_tried_by_the_schedule_and_then_given_up() -> None:
    waits, job = tries(TroubleKind.UNAVAILABLE)
    assert tuple(waits) == PERIODS.schedule
    assert job.error == JobError(type="delivery_unavailable", detail="no (tried 8 times)")


def test_a_server_error_is_tried_three_times_in_all() -> None:
    waits, job = tries(TroubleKind.SERVER_ERROR)
    assert (tuple(waits), job.attempt) == (PERIODS.schedule[:2], 3)


def test_a_refusal_is_tried_for_one_hour() -> None:
    waits, job = tries(TroubleKind.REFUSED)
    assert sum(waits, timedelta()) == timedelta(hours=1)
    assert job.error is not None
    assert job.error.type == "delivery_refused"


def test_silence_is_waited_for_and_then_tried_by_the_schedule() -> None:
    waits, job = tries(TroubleKind.NO_ANSWER)
    assert tuple(waits) == PERIODS.schedule
    assert job.error is not None
    assert (job.error.type, job.attempt) == ("delivery_no_answer", 8)


def test_troubles_that_take_turns_come_to_an_end_all_the_same() -> None:
    job, at = accepted(), AT
    kinds = [TroubleKind.UNAVAILABLE, TroubleKind.NO_ANSWER]
    while not job.status.ended:
        job, _ = lifecycle.advance(job, EVENTS["Started"], at)
        trouble = DeliveryTrouble(kinds[job.attempt % 2], "no")
        job, _ = lifecycle.advance(job, lifecycle.after_trouble(job, trouble, PERIODS, at, 0), at)
        while job.status is JobStatus.WAITING:
            assert job.due_at is not None
            at = job.due_at
            event = lifecycle.due(job, PERIODS, at, 0)
            assert event is not None
            job, _ = lifecycle.advance(job, event, at)
        at = job.due_at or at
    assert job.attempt == 24


def test_the_third_lease_lost_in_a_row_fails_the_job() -> None:
    job, at = accepted(), AT
    for _ in range(3):
        job, _ = lifecycle.advance(job, EVENTS["Started"], at)
        assert lifecycle.due(job, PERIODS, at + 9 * SECOND, 0) is None
        at += 10 * SECOND
        event = lifecycle.due(job, PERIODS, at, 0)
        assert event is not None
        job, _ = lifecycle.advance(job, event, at)
    assert job.error == JobError(type="worker_lost", detail="the job ended its worker three times")
    assert job.lost_leases == 3


def test_a_delivery_forgives_lost_leases() -> None:
    job = replace(in_status(JobStatus.PROCESSING), lost_leases=2)
    assert lifecycle.advance(job, EVENTS["Delivered"], AT)[0].lost_leases == 0


def test_silence_after_delivery_is_looked_at_ever_more_rarely_and_ends_at_the_deadline() -> None:
    job, _ = lifecycle.advance(in_status(JobStatus.PROCESSING), Delivered(due_in=lifecycle.patience(PERIODS)), AT)
    looks = []
    while not job.status.ended:
        assert job.due_at is not None
        at = job.due_at
        assert lifecycle.overdue(job, PERIODS, at)
        assert not lifecycle.overdue(job, PERIODS, AT + timedelta(minutes=14))
        event = lifecycle.due(job, PERIODS, at, 0)
        assert event is not None
        job, _ = lifecycle.advance(job, event, at)
        looks.append(at - AT)
    assert looks == [timedelta(minutes=m) for m in (15, 30, 60, 120, 240, 480, 960, 1440)]
    assert job.error is not None
    assert job.error.type == "callback_deadline"


def test_a_queued_job_that_is_due_is_simply_to_be_started() -> None:
    assert lifecycle.due(accepted(), PERIODS, AT + SECOND, 0) is None


def test_ids_sort_by_time_and_tell_it() -> None:
    ids = [new_job_id(AT + n * SECOND) for n in range(3)]
    assert sorted(ids) == ids
    assert [created_at(job_id) for job_id in ids] == [AT + n * SECOND for n in range(3)]
    assert {(job_id.version, job_id.variant) for job_id in ids} == {(7, "specified in RFC 4122")}


def test_a_service_that_refuses_to_start_says_every_problem_on_a_line() -> None:
    refusal = Misconfigured(["A is missing", "B is weak"])
    assert (refusal.problems, str(refusal)) == (("A is missing", "B is weak"), "A is missing\nB is weak")


def test_local_work_that_gets_further_forgives_lost_leases_and_trouble() -> None:
    trouble = Trouble(kind="step", since=AT, count=3)
    at_it = replace(in_status(JobStatus.PROCESSING), lost_leases=2, trouble=trouble, progress=Progress(fraction=0.3334))
    same, _ = lifecycle.advance(at_it, Progressed(progress=Progress(fraction=0.33339), due_in=SECOND), AT)
    assert (same.lost_leases, same.trouble) == (2, trouble)
    further, _ = lifecycle.advance(at_it, Progressed(progress=Progress(fraction=0.5), due_in=SECOND), AT)
    assert (further.lost_leases, further.trouble) == (0, None)


def test_a_step_that_cannot_be_done_fails_the_job_when_the_schedule_is_used_up() -> None:
    waits, job = tries(TroubleKind.STEP)
    assert tuple(waits) == PERIODS.schedule
    assert job.error == JobError(type="step_trouble", detail="no (tried 8 times)")
