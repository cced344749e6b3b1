"""The checker of `make chaos`, checked: every planted mistake is found under its own number, and a sound run has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from app.domain.lifecycle import Completed, Delivered, Postponed, Progressed, Started, TroubleKind
from app.domain.models import JobResult, Progress
from chaos.checker import INVARIANTS, ambiguous, check
from chaos.evidence import Ack, Callback, Evidence, Line, Stored
from tests.chaos.recorded import DOUBTED, LOST, PLAIN, SECOND, lived, recorded, row_of, with_life

Plant = Callable[[Evidence], Evidence]
T = TypeVar("T")
STARTED, DELIVERED = Started(lease=10 * SECOND), Delivered(due_in=60 * SECOND)
DONE = Completed(result=JobResult(message="done"))


def changed(items: tuple[T, ...], index: int, **changes: Any) -> tuple[T, ...]:
    """The tuple with one record changed."""
    return (*items[:index], replace(items[index], **changes), *items[index + 1 :])  # type: ignore[type-var]


def without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    """The tuple without one record."""
    return (*items[:index], *items[index + 1 :])


def lines_of(evidence: Evidence, number: int) -> list[Line]:
    """One job's lines."""
    return [line for line in evidence.lines if line.job_id == evidence.rows[number].job_id]


def with_line(evidence: Evidence, number: int, version: int, **changes: Any) -> Evidence:
    """One line changed."""
    index = evidence.lines.index(lines_of(evidence, number)[version - 1])
    return replace(evidence, lines=changed(evidence.lines, index, **changes))


def another_receipt(evidence: Evidence, number: int, **changes: Any) -> Evidence:
    """One more delivery of a job than there was."""
    last = [one for one in evidence.receipts if one.job_id == evidence.rows[number].job_id][-1]
    more = replace(last, **{"attempt": last.attempt + 1, "began": 900.0, "ended": 901.0, **changes})
    return replace(evidence, receipts=(*evidence.receipts, more))


def started_again(evidence: Evidence, number: int) -> Evidence:
    """A second start without a reason, and the second copy that it sent."""
    again = Postponed(delay=timedelta(), trouble=TroubleKind.UNAVAILABLE)
    report = Progressed(progress=Progress(fraction=0.5, message="half"), due_in=SECOND)
    lived = with_life(evidence, number, [STARTED, again, STARTED, DELIVERED, report, DONE])
    return another_receipt(lived, number)


def said_twice(evidence: Evidence) -> Evidence:
    """A callback that was applied, and applied again."""
    back = Progressed(progress=Progress(fraction=0.1, message="other"), due_in=SECOND)
    report = Progressed(progress=Progress(fraction=0.5, message="half"), due_in=SECOND)
    return with_life(evidence, PLAIN, [STARTED, DELIVERED, report, back, report, DONE])


def another_callback(evidence: Evidence, **changes: Any) -> Evidence:
    """One more callback than there was."""
    return replace(evidence, callbacks=(*evidence.callbacks, replace(evidence.callbacks[2], **changes)))


def orphan(evidence: Evidence) -> Evidence:
    """A file that nobody knows."""
    stray = Stored(job_id="019d0000-0000-7000-8000-000000000000", sha256="0" * 64, size=1)
    return replace(evidence, stored=(*evidence.stored, stray))


PLANTED: Mapping[str, tuple[str, Plant]] = {
    "an acknowledged upload without a row (acknowledged before the commit)": (
        "I1",
        lambda e: replace(e, rows=without(e.rows, PLAIN)),
    ),
    "an acknowledged upload without its file (fsync skipped)": (
        "I1",
        lambda e: replace(e, stored=without(e.stored, PLAIN)),
    ),
    "a stored file that was cut short": ("I1", lambda e: replace(e, stored=changed(e.stored, LOST, size=1))),
    "one byte of a stored file changed": ("I1", lambda e: replace(e, stored=changed(e.stored, LOST, sha256="0" * 64))),
    "a row that names another hash": ("I1", lambda e: replace(e, rows=changed(e.rows, LOST, sha256="0" * 64))),
    "one key, two jobs (deduplication off)": (
        "I1",
        lambda e: replace(e, rows=changed(e.rows, LOST, idempotency_key=e.rows[PLAIN].idempotency_key)),
    ),
    "a job that has two rows": ("I1", lambda e: replace(e, rows=(*e.rows, e.rows[PLAIN]))),
    "a row without its file, never acknowledged": (
        "I2",
        lambda e: replace(e, acks=without(e.acks, PLAIN), stored=without(e.stored, PLAIN)),
    ),
    "a file that no row names": ("I2", orphan),
    "a job that is stuck": (
        "I3",
        lambda e: replace(e, rows=changed(e.rows, PLAIN, status="processing", has_due_at=True)),
    ),
    "a failure with an honest far side": ("I3", lambda e: replace(e, rows=changed(e.rows, PLAIN, status="failure"))),
    "due_at forgotten": ("I3", lambda e: replace(e, rows=changed(e.rows, PLAIN, status="waiting", has_due_at=False))),
    "a second result": ("I4", lambda e: with_line(e, PLAIN, 6, type="Completed")),
    "success that became failure": ("I4", lambda e: with_line(e, PLAIN, 6, type="Failed", after="failure")),
    "delivered, but nobody received it": ("I5", lambda e: replace(e, receipts=without(e.receipts, 0))),
    "delivered, but only half of it came": (
        "I5",
        lambda e: replace(e, receipts=changed(e.receipts, 0, complete=False)),
    ),
    "delivered with another file's bytes": (
        "I5",
        lambda e: replace(e, receipts=changed(e.receipts, 0, file_sha256="0" * 64)),
    ),
    "a delivery that is not signed": ("I5", lambda e: replace(e, receipts=changed(e.receipts, 0, authentic=False))),
    "a delivery of a job that does not exist": (
        "I5",
        lambda e: replace(e, receipts=changed(e.receipts, 0, job_id="another")),
    ),
    "a copy too many after a clean delivery": ("I6", lambda e: another_receipt(e, PLAIN)),
    "a copy too many after one lost lease": ("I6", lambda e: another_receipt(e, LOST)),
    "a copy too many after one silence": ("I6", lambda e: another_receipt(e, DOUBTED)),
    "a copy too many that a harmless trouble would hide": ("I6", lambda e: started_again(e, PLAIN)),
    "copies that differ": ("I6", lambda e: replace(e, receipts=changed(e.receipts, 2, body_sha256="0" * 64))),
    "one attempt sent twice (compare-and-set dropped)": ("I6", lambda e: another_receipt(e, DOUBTED, attempt=2)),
    "an attempt that was never started": ("I6", lambda e: another_receipt(e, PLAIN, attempt=7, taken=False)),
    "two sends at once": ("I7", lambda e: replace(e, receipts=changed(e.receipts, 4, began=100.5))),
    "a callback applied twice": ("I8", said_twice),
    "a callback told twice that it was applied": ("I8", lambda e: another_callback(e, applied=True)),
    "a result that nobody sent (token not compared)": (
        "I8",
        lambda e: replace(e, callbacks=tuple(one for one in e.callbacks if one.marker != "done")),
    ),
    "a callback said to be applied that left no line": ("I8", lambda e: another_callback(e, marker="of its own")),
    "an authentic callback refused": ("I8", lambda e: another_callback(e, answer=401, applied=None)),
    "a line whose facts were changed": ("I9", lambda e: with_line(e, LOST, 2, facts={"attempt": 9})),
    "a line whose detail was changed": ("I9", lambda e: with_line(e, LOST, 1, detail={"client": "you"})),
    "a line whose detail is gone": ("I9", lambda e: with_line(e, LOST, 1, detail=None)),
    "a line that was taken out": ("I9", lambda e: replace(e, lines=without(e.lines, 2))),
    "the last line cut off": ("I9", lambda e: replace(e, lines=without(e.lines, len(lines_of(e, PLAIN)) - 1))),
    "a row that is not what its lines say": ("I9", lambda e: replace(e, rows=changed(e.rows, LOST, attempt=7))),
    "a row whose result was changed": ("I9", lambda e: replace(e, rows=changed(e.rows, LOST, result_message="other"))),
    "a verification that found something": ("I9", lambda e: replace(e, verified=1)),
    "an event that a watcher missed": (
        "I10",
        lambda e: replace(e, streams=changed(e.streams, PLAIN, versions=(1, 2, 4, 5))),
    ),
    "an event that a watcher saw twice": (
        "I10",
        lambda e: replace(e, streams=changed(e.streams, PLAIN, versions=(1, 2, 2, 3, 4, 5))),
    ),
    "a stream that ended before the result": (
        "I10",
        lambda e: replace(e, streams=changed(e.streams, PLAIN, versions=(1, 2))),
    ),
    "a secret in a log": ("I11", lambda e: replace(e, secrets_found=("the key stands in api.log",))),
    "a half-written file": ("I12", lambda e: replace(e, remains=("the half-written file abc",))),
    "a start before its time": ("I13", lambda e: with_line(e, DOUBTED, 5, at="2026-11-23T12:00:00.000000Z")),
}


def test_a_sound_run_has_no_violation() -> None:
    assert check(recorded()) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found(name: str) -> None:
    invariant, plant = PLANTED[name]
    assert invariant in {violation.invariant for violation in check(plant(recorded()))}


def test_local_work_needs_no_file_no_delivery_and_no_callback() -> None:
    evidence = recorded()
    job, lines = lived((STARTED, Progressed(progress=Progress(fraction=0.5, message="half"), due_in=timedelta()), DONE))
    ack = Ack(key="local", job_id=str(job.job_id), sha256=None, size=None)
    more = replace(evidence, acks=(*evidence.acks, ack), rows=(*evidence.rows, row_of(job)))
    assert check(replace(more, lines=(*evidence.lines, *lines))) == []
    assert {violation.invariant for violation in check(more)} == {"I9"}


def test_every_invariant_has_a_planted_mistake() -> None:
    assert {invariant for invariant, _ in PLANTED.values()} == set(INVARIANTS)


def test_a_copy_more_is_allowed_for_a_lost_lease_and_for_silence_but_not_for_a_plain_job() -> None:
    evidence = recorded()
    assert [ambiguous(lines_of(evidence, number)) for number in (PLAIN, LOST, DOUBTED)] == [0, 1, 1]


def test_two_silences_in_a_row_count_twice() -> None:
    doubt, again = Delivered(due_in=SECOND, trouble=TroubleKind.NO_ANSWER), Postponed(delay=SECOND)
    evidence = with_life(recorded(), PLAIN, [STARTED, doubt, again, STARTED, doubt, again, STARTED, DELIVERED, DONE])
    assert ambiguous([line for line in evidence.lines if line.job_id == evidence.rows[PLAIN].job_id]) == 2


def test_a_first_silence_after_another_trouble_counts_though_the_count_stays_at_one() -> None:
    busy = Postponed(delay=timedelta(), trouble=TroubleKind.UNAVAILABLE)
    doubt, again = Delivered(due_in=SECOND, trouble=TroubleKind.NO_ANSWER), Postponed(delay=timedelta())
    evidence = with_life(recorded(), PLAIN, [STARTED, busy, STARTED, doubt, again, STARTED, DELIVERED, DONE])
    assert ambiguous([line for line in evidence.lines if line.job_id == evidence.rows[PLAIN].job_id]) == 1


def test_a_failure_that_the_workflow_turned_into_success_is_one_result() -> None:
    evidence = with_line(recorded(), PLAIN, 5, type="Failed", after="failure")
    evidence = with_line(evidence, PLAIN, 6, type="Completed", before="failure")
    assert "I4" not in {violation.invariant for violation in check(evidence)}


def test_a_callback_that_broke_off_may_have_been_applied() -> None:
    evidence = recorded()
    broken = tuple(
        Callback(job_id=one.job_id, status=one.status, marker=one.marker, answer=None, applied=None)
        for one in evidence.callbacks
    )
    assert check(replace(evidence, callbacks=broken)) == []
