"""The one judge of every row: compares what independent hands noted and names every promise that was broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar

from chaos import chain
from chaos.evidence import ENDED, Callback, Evidence, Line, Receipt, Row, Violation

T = TypeVar("T", Callback, Line, Receipt)
Found = Iterator[tuple[str, str]]  # job, words
RESULTS = frozenset({"Completed", "Failed", "Cancelled"})


class Case:
    """The evidence, sorted by job."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.rows: Mapping[str, Row] = {row.job_id: row for row in evidence.rows}
        self.lines = _by_job(sorted(evidence.lines, key=lambda line: line.version))
        self.receipts = _by_job(evidence.receipts)
        self.callbacks = _by_job(evidence.callbacks)
        self.stored = {stored.job_id: stored for stored in evidence.stored}


class ByJob(dict[str, list[T]]):
    """Records by job; asking for a job that has none adds nothing."""

    def __missing__(self, job_id: str) -> list[T]:
        return []


def _by_job(records: Iterable[T]) -> ByJob[T]:
    sorted_in: ByJob[T] = ByJob()
    for record in records:
        sorted_in.setdefault(record.job_id, []).append(record)
    return sorted_in


def check(evidence: Evidence) -> list[Violation]:
    """All violations; none means that every promise was kept."""
    case = Case(evidence)
    return [Violation(name, job_id, words) for name, rule in INVARIANTS.items() for job_id, words in rule(case)]


def acknowledged_is_kept(case: Case) -> Found:
    """I1: every acknowledgement has one row and one file with the right hash; a key has one job."""
    jobs_of: defaultdict[str, set[str]] = defaultdict(set)
    for ack in case.evidence.acks:
        jobs_of[ack.key].add(ack.job_id)
        row, stored = case.rows.get(ack.job_id), case.stored.get(ack.job_id)
        if row is None:
            yield ack.job_id, "acknowledged, but there is no row"
        elif (row.sha256, row.size) != (ack.sha256, ack.size):
            yield ack.job_id, "the row names other content than was acknowledged"
        if stored is None and ack.sha256 and not (row and row.file_removed):
            yield ack.job_id, "acknowledged, but there is no file"
        elif stored and (stored.sha256, stored.size) != (ack.sha256, ack.size):
            yield ack.job_id, "the file is not the one that was acknowledged"
    keys = Counter(row.idempotency_key for row in case.evidence.rows if row.idempotency_key)
    for key, jobs in jobs_of.items():
        if len(jobs) > 1 or keys[key] > 1:
            yield min(jobs), f"the key {key} has {max(len(jobs), keys[key])} jobs"
    ids = Counter(row.job_id for row in case.evidence.rows)
    yield from ((job_id, f"has {count} rows") for job_id, count in ids.items() if count > 1)


def rows_have_their_file(case: Case) -> Found:
    """I2: no row without its file, no file without its row."""
    for row in case.evidence.rows:
        stored = case.stored.get(row.job_id)
        if row.sha256 and not row.file_removed and (stored is None or stored.sha256 != row.sha256):
            yield row.job_id, "the row's file is missing or another"
    yield from ((job_id, "a file that no row names") for job_id in case.stored.keys() - case.rows.keys())


def all_ended(case: Case) -> Found:
    """I3: every job has ended, with an honest far side in success; what has not ended has a due time, what has has none."""
    for row in case.evidence.rows:
        if row.status not in ENDED:
            yield row.job_id, f"still {row.status}"
        elif case.evidence.honest and row.status != "success":
            yield row.job_id, f"ended as {row.status} ({row.error}), although the far side did the work"
        if row.has_due_at == (row.status in ENDED):
            yield row.job_id, f"{row.status} {'with' if row.has_due_at else 'without'} a due time"


def one_result(case: Case) -> Found:
    """I4: one result a job; only a failure may yield, to a success."""
    for job_id, lines in case.lines.items():
        results = [line for line in lines if line.type in RESULTS]
        kinds = [line.type for line in results]
        if len(kinds) > 1 and kinds != ["Failed", "Completed"]:
            yield job_id, f"has the results {', '.join(kinds)}"
        for before, line in pairwise(lines):
            final = before.after in ("success", "cancelled")
            if final and (line.type != "Noted" or line.after != before.after):
                yield job_id, f"left {before.after} by {line.type}"


def delivered_was_received(case: Case) -> Found:
    """I5: what counts as delivered was received whole, authentic, and with the file's own bytes."""
    for job_id, lines in case.lines.items():
        told = ("Delivered", "Completed")
        delivered = [line for line, trouble in _troubles(lines) if line.type in told and trouble != "no_answer"]
        row = case.rows.get(job_id)
        if not delivered or row is None or row.local:
            continue
        whole = [receipt for receipt in case.receipts[job_id] if receipt.complete]
        if not any(receipt.authentic and receipt.file_sha256 in (row.sha256, None) for receipt in whole):
            yield job_id, "delivered, as its history says, but nobody received it"
    for receipt in case.evidence.receipts:
        if receipt.complete and not receipt.authentic:
            yield receipt.job_id, "a delivery without a right signature and token"
        if receipt.job_id not in case.rows:
            yield receipt.job_id, "delivered, but there is no such job"


def copies_are_bounded(case: Case) -> Found:
    """I6: at most one copy, and one more for each ambiguous event; same bytes; each attempt sent once."""
    for job_id, receipts in case.receipts.items():
        lines = case.lines[job_id]
        taken = sum(receipt.taken for receipt in receipts)
        bound = 1 + ambiguous(lines)
        if taken > bound:
            yield job_id, f"{taken} copies, at most {bound} can be explained"
        if len({receipt.body_sha256 for receipt in receipts if receipt.complete}) > 1:
            yield job_id, "copies differ"
        attempts = Counter(receipt.attempt for receipt in receipts)
        for attempt, count in attempts.items():
            if count > 1:
                yield job_id, f"attempt {attempt} was sent {count} times"
        started = sum(line.type == "Started" for line in lines)
        if max(attempts) > started:
            yield job_id, f"attempt {max(attempts)} was sent, but only {started} were started"


def ambiguous(lines: Iterable[Line]) -> int:
    """How many of a job's events leave open whether the far side has it: lost leases, silence after the body, 500."""
    open_ones = (("Delivered", "no_answer"), ("Postponed", "server_error"))
    found = [
        line.facts.get("lost_leases", 0) > 0 or (line.type, trouble) in open_ones for line, trouble in _troubles(lines)
    ]
    return sum(found)


def _troubles(lines: Iterable[Line]) -> Iterator[tuple[Line, object]]:
    """Each line, with the kind of trouble that it counts one more of. Facts hold what changed: a first trouble of another
    kind leaves the count at 1."""
    kind = None
    for line in lines:
        kind = line.facts.get("trouble_kind", kind)
        yield line, kind if {"trouble_kind", "trouble_count"} & line.facts.keys() else None


def sends_do_not_overlap(case: Case) -> Found:
    """I7: two sends of one job overlap only after a lost lease."""
    for job_id, receipts in case.receipts.items():
        lost = any(line.facts.get("lost_leases", 0) > 0 for line in case.lines[job_id])
        in_order = sorted(receipts, key=lambda receipt: receipt.began)
        for one, other in pairwise(in_order):
            if other.began < one.ended and not lost:
                yield job_id, f"attempts {one.attempt} and {other.attempt} were sent at the same time"


def callbacks_count_once(case: Case) -> Found:
    """I8: each report is applied at most once, none is applied that was not sent, and no authentic one is refused."""
    for job_id, lines in case.lines.items():
        if (row := case.rows.get(job_id)) and row.local:  # its progress is told by its own steps
            continue
        applied = Counter(_markers(lines))
        sent = {callback.marker for callback in case.callbacks[job_id]}
        for marker, count in applied.items():
            if count > 1:
                yield job_id, f"{marker!r} was applied {count} times"
            if marker not in sent:
                yield job_id, f"{marker!r} was applied, but never sent"
        said = Counter(callback.marker for callback in case.callbacks[job_id] if callback.applied)
        for marker, count in said.items():
            if count > 1 or marker not in applied:
                yield job_id, f"{marker!r} was answered as applied {count} times, the lines say {applied[marker]}"
    for callback in case.evidence.callbacks:
        if callback.answer is not None and callback.answer != 200 and callback.answer < 500:
            yield callback.job_id, f"an authentic callback was answered {callback.answer}"


def _markers(lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        detail = line.detail or {}
        if line.type == "Progressed" and "progress_message" in detail:
            yield detail["progress_message"]
        if line.type in ("Completed", "Failed") and detail.get("result_message"):
            yield detail["result_message"]


def history_is_sound(case: Case) -> Found:
    """I9: the chains hold, fold to the rows, and the product's own verification agrees."""
    for row in case.evidence.rows:
        yield from ((row.job_id, words) for words in chain.wrong(row, case.lines[row.job_id]))
    yield from (
        (job_id, "lines without a row") for job_id in case.lines.keys() - case.rows.keys() if case.lines[job_id]
    )
    if case.evidence.verified != 0:
        yield "-", f"audit verify ended with status {case.evidence.verified}"


def streams_have_no_gap(case: Case) -> Found:
    """I10: a watcher sees each event once and in order, however often it is cut off."""
    for stream in case.evidence.streams:
        if stream.versions != tuple(range(1, len(stream.versions) + 1)):
            yield stream.job_id, f"a watcher saw the versions {stream.versions}"
        results = [line.version for line in case.lines[stream.job_id] if line.after in ENDED]
        if stream.finished and results and len(stream.versions) < min(results):
            yield stream.job_id, f"a stream ended at version {len(stream.versions)}, before the result"


def secrets_are_kept(case: Case) -> Found:
    """I11: no secret and no content anywhere but where it belongs."""
    yield from (("-", words) for words in case.evidence.secrets_found)


def nothing_remains(case: Case) -> Found:
    """I12: no half-written file, process or connection is left."""
    yield from (("-", words) for words in case.evidence.remains)


def nothing_starts_early(case: Case) -> Found:
    """I13: nothing is started before it is due."""
    for job_id, lines in case.lines.items():
        due: Any = None
        for line in lines:
            if line.type == "Started" and due is not None and line.at < due:
                yield job_id, f"version {line.version} started at {line.at}, due was {due}"
            due = line.facts.get("due_at", due)


INVARIANTS: Mapping[str, Callable[[Case], Found]] = {
    "I1": acknowledged_is_kept,
    "I2": rows_have_their_file,
    "I3": all_ended,
    "I4": one_result,
    "I5": delivered_was_received,
    "I6": copies_are_bounded,
    "I7": sends_do_not_overlap,
    "I8": callbacks_count_once,
    "I9": history_is_sound,
    "I10": streams_have_no_gap,
    "I11": secrets_are_kept,
    "I12": nothing_remains,
    "I13": nothing_starts_early,
}
