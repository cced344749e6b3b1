"""The chain: what it covers, what erasure leaves whole, and that every kind of tampering is named."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain import audit, lifecycle, verification
from app.domain.lifecycle import Completed, Delivered, Noted, NoteKind, Progressed, Started
from app.domain.models import AuditEvent, FileUploadInfo, Job, JobResult, JobStatus, Progress, new_job_id
from tests.domain.test_lifecycle import AT, FILE, SECOND

History = tuple[Job, list[AuditEvent]]


def history() -> History:
    draft = Job(
        job_id=new_job_id(AT),
        client="me",
        workflow="n8n_notion",
        created_at=AT,
        due_at=AT,
        salt="5a" * 16,
        file=FILE,
        params={"notion_database_id": "db"},
    )
    job, line = lifecycle.accept(draft, AT)
    lines = [line]
    events = [
        Started(lease=10 * SECOND),
        Delivered(due_in=900 * SECOND, execution_id="17"),
        Progressed(progress=Progress(fraction=0.333, message="reading"), due_in=900 * SECOND),
        Completed(result=JobResult(message="Page created", notion_page_url="https://notion.so/x", data={"n": 1.5})),
    ]
    for event in events:
        job, line = lifecycle.advance(job, event, AT + timedelta(milliseconds=len(lines)))
        lines.append(line)
    return job, lines


def test_an_honest_history_is_sound() -> None:
    job, lines = history()
    assert verification.verify(job, job.job_id, lines) is None


def test_a_known_line_has_a_known_hash() -> None:
    """The format is final: this spells out the documented layout a second time."""
    job, (first, *_) = history()
    body = {
        "after": "queued", "at": "2026-11-23T12:00:00.000000Z", "before": None, "commitment": first.commitment,
        "facts": {"created_at": "2026-11-23T12:00:00.000000Z", "due_at": "2026-11-23T12:00:00.000000Z", "attempt": 0,
                  "lost_leases": 0, "notes": 0, "media_type": "image/png", "size": 3, "workflow": "n8n_notion"},
        "job_id": str(job.job_id), "type": "Accepted", "version": 1,
    }  # fmt: skip
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    genesis = hashlib.sha256(f"job:{job.job_id}".encode()).digest()
    assert first.prev_hash == genesis.hex()
    assert first.hash == hashlib.sha256(b"\0" + genesis + text.encode()).hexdigest()
    detail = {"client": "me", "filename": "receipt.png", "sha256": "ab" * 32, "params": {"notion_database_id": "db"}}
    assert first.detail == detail
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    salted = b"\1" + bytes.fromhex("5a" * 16) + (1).to_bytes(8) + text.encode()
    assert first.commitment == hashlib.sha256(salted).hexdigest()


def test_the_chain_holds_no_personal_word() -> None:
    _, lines = history()
    for line in lines:
        clear = repr(line.facts)
        assert not any(word in clear for word in ("receipt", "Page created", "notion.so", "reading", FILE.sha256))


def test_an_erased_job_still_verifies_and_holds_nothing() -> None:
    job, lines = history()
    job, line = lifecycle.advance(job, Noted(kind=NoteKind.ERASED), AT + SECOND)
    erased = replace(
        job,
        salt=None,
        client="",
        params={},
        result=JobResult(),
        progress=replace(job.progress, message=None),
        file=FileUploadInfo(filename="", size=3, sha256="", media_type="image/png"),
    )
    bare = [replace(one, detail=None) for one in [*lines, line]]
    assert verification.verify(erased, job.job_id, bare) is None
    assert verification.verify(erased, job.job_id, bare[:-1]) is not None


def test_details_that_vanish_without_an_erasure_are_found() -> None:
    job, lines = history()
    bare = [replace(one, detail=None) for one in lines]
    found = [verification.verify(job, job.job_id, bare), verification.verify(replace(job, salt=None), job.job_id, bare)]
    assert [finding and finding.kind for finding in found] == ["detail changed", "detail changed"]


def _change_line(job: Job, lines: list[AuditEvent]) -> History:
    return job, [*lines[:2], replace(lines[2], at=AT + timedelta(days=1)), *lines[3:]]


def _rewrite_line(job: Job, lines: list[AuditEvent]) -> History:
    forged = replace(lines[2], facts={**lines[2].facts, "execution_id": "99"})
    return job, [*lines[:2], replace(forged, hash=audit.line_hash(forged)), *lines[3:]]


def _change_detail(job: Job, lines: list[AuditEvent]) -> History:
    return job, [*lines[:3], replace(lines[3], detail={"progress_message": "writing"}), lines[4]]


def _drop_line(job: Job, lines: list[AuditEvent]) -> History:
    return job, lines[:2] + lines[3:]


def _drop_tail(job: Job, lines: list[AuditEvent]) -> History:
    return job, lines[:-1]


def _swap(job: Job, lines: list[AuditEvent]) -> History:
    return job, [lines[0], lines[2], lines[1], *lines[3:]]


def _repeat(job: Job, lines: list[AuditEvent]) -> History:
    return job, [*lines[:3], lines[2], *lines[3:]]


def _move(job: Job, lines: list[AuditEvent]) -> History:
    _, foreign = history()
    return job, [*lines[:2], foreign[2], *lines[3:]]


def _change_status(job: Job, lines: list[AuditEvent]) -> History:
    return replace(job, status=JobStatus.FAILURE), lines


def _change_column(job: Job, lines: list[AuditEvent]) -> History:
    return replace(job, attempt=9), lines


def _change_result(job: Job, lines: list[AuditEvent]) -> History:
    return replace(job, result=replace(job.result, data={"n": 2})), lines


def _change_params(job: Job, lines: list[AuditEvent]) -> History:
    return replace(job, params={}), lines


@pytest.mark.parametrize(
    ("tamper", "kind", "version"),
    [
        (_change_line, "changed", 3),
        (_rewrite_line, "changed", 4),
        (_change_detail, "detail changed", 4),
        (_drop_line, "missing", 4),
        (_drop_tail, "truncated", 5),
        (_swap, "missing", 3),
        (_repeat, "reordered", 3),
        (_move, "moved", 3),
        (_change_status, "row changed", None),
        (_change_column, "row changed", None),
        (_change_result, "row changed", None),
        (_change_params, "row changed", None),
    ],
)
def test_tampering_is_found_and_named(tamper: Callable[..., History], kind: str, version: int | None) -> None:
    job, lines = tamper(*history())
    finding = verification.verify(job, job.job_id, lines)
    assert finding is not None
    assert (finding.kind, finding.version) == (kind, version)


def test_lines_without_a_row_are_found() -> None:
    job, lines = history()
    finding = verification.verify(None, job.job_id, lines)
    assert finding is not None
    assert finding.kind == "row missing"


def test_a_renewed_lease_is_no_tampering_but_a_moved_deadline_is() -> None:
    draft = Job(job_id=new_job_id(AT), client="me", workflow="w", created_at=AT, due_at=AT, salt="5a" * 16)
    job, one = lifecycle.accept(draft, AT)
    job, two = lifecycle.advance(job, Started(lease=SECOND), AT)
    assert verification.verify(replace(job, due_at=AT + 9 * SECOND), job.job_id, [one, two]) is None
    job, three = lifecycle.advance(job, Delivered(due_in=SECOND), AT)
    assert verification.verify(replace(job, due_at=AT + 9 * SECOND), job.job_id, [one, two, three]) is not None


def test_a_thousand_random_edits_are_all_found() -> None:
    chance = random.Random(20261123)
    for _ in range(1000):
        job, lines = history()
        index = chance.randrange(len(lines))
        line = lines[index]
        field = chance.choice(["at", "type", "facts", "commitment", "prev_hash", "hash", "after", "version"])
        edits = {
            "at": line.at + timedelta(microseconds=chance.randrange(1, 10**6)),
            "type": line.type + "x",
            "facts": {**line.facts, "attempt": chance.randrange(5, 99)},
            "commitment": None if line.commitment else "00" * 32,
            "prev_hash": "11" * 32,
            "hash": "22" * 32,
            "after": JobStatus.CANCELLED if line.after != JobStatus.CANCELLED else JobStatus.QUEUED,
            "version": line.version + chance.randrange(1, 9),
        }
        lines[index] = replace(line, **{field: edits[field]})
        assert verification.verify(job, job.job_id, lines) is not None, field
