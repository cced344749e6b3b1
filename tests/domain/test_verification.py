"""What verification makes of histories that somebody with the database in his hands has changed, row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from app.domain import audit, lifecycle
from app.domain.audit import StoredLine, stored
from app.domain.lifecycle import Noted, NoteKind
from app.domain.models import Job, JobResult
from app.domain.verification import Finding, Stray, explained, verify
from tests.domain.test_audit import history
from tests.domain.test_lifecycle import AT

Lines = list[StoredLine]


def told() -> tuple[Job, Lines]:
    job, events = history()
    return job, [stored(event) for event in events]


def kind(job: Job | None, lines: Sequence[StoredLine], strays: Sequence[Stray] = ()) -> str | None:
    (job_id,) = {job.job_id} if job else {history()[0].job_id}
    finding = verify(job, job_id, lines, strays)
    return finding.kind if finding else None


def renumbered(lines: Lines) -> Lines:
    return [line._replace(version=version) for version, line in enumerate(lines, 1)]


def rehashed(line: StoredLine, **changes: object) -> StoredLine:
    changed = line._replace(**changes)
    return changed._replace(hash=audit.stored_hash(changed, changed.version))


def put_in(lines: Lines) -> Lines:
    forged = rehashed(lines[1], prev_hash=lines[1].hash, before="processing", version=3, facts='{"attempt":1}')
    return renumbered([*lines[:2], forged, *lines[2:]])


def appended(lines: Lines) -> Lines:
    last = lines[-1]
    more = last._replace(version=6, prev_hash=last.hash, before=last.after, detail=None, commitment=None)
    return [*lines, rehashed(more)]


def test_stored_lines_and_events_are_the_same_to_it() -> None:
    assert kind(*told()) is None
    assert all(line.hash == audit.stored_hash(line, line.version) for line in told()[1])


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda lines: renumbered([lines[0], lines[2], lines[1], *lines[3:]]), "reordered"),
        (lambda lines: renumbered([*lines[:2], *lines[3:]]), "missing"),
        (put_in, "inserted"),
        (lambda lines: [*lines, lines[2]._replace(version=6)], "inserted"),
        (lambda lines: [*lines[:3], lines[3]._replace(prev_hash="no hash"), lines[4]], "changed"),
        (lambda lines: [lines[0], rehashed(lines[1], before="waiting"), *lines[2:]], "changed"),
        (lambda lines: [*lines[:4], rehashed(lines[4], facts='{"completed_at":null}')], "changed"),
        (lambda lines: [*lines[:4], rehashed(lines[4], facts="no JSON")], "changed"),
        (lambda lines: [*lines[:4], rehashed(lines[4], facts="[]")], "changed"),
        (lambda lines: [lines[0]._replace(detail=None), *lines[1:]], "detail changed"),
        (appended, "inserted"),
        (lambda lines: [*lines[:4], lines[4]._replace(version="last")], "changed"),
        (lambda lines: lines[:3], "truncated"),
        (lambda _: [], "truncated"),
    ],
)
def test_what_was_done_to_the_lines_is_named(change: Callable[[Lines], Lines], wanted: str) -> None:
    job, lines = told()
    assert kind(job, change(lines)) == wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": "zz"},
        {"salt": "00" * 16},
        {"head": "00" * 32},
        {"version": 4},
        {"result": JobResult(message="Another page")},
    ],
)
def test_what_was_done_to_the_row_is_named(changes: dict[str, object]) -> None:
    job, lines = told()
    wanted = "inserted" if "version" in changes else "row changed"  # which of both is false cannot be told
    assert kind(replace(job, **changes), lines) == wanted  # type: ignore[arg-type]


def test_what_is_filled_in_again_after_an_erasure_is_found() -> None:
    job, events = history()
    job, line = lifecycle.advance(job, Noted(kind=NoteKind.ERASED), AT)
    assert job.file
    bare = [stored(replace(one, detail=None)) for one in [*events, line]]
    file = replace(job.file, filename="", sha256="")
    erased = replace(job, salt=None, client="", params={}, result=JobResult(), file=file)
    erased = replace(erased, progress=replace(job.progress, message=None))
    assert kind(erased, bare) is None
    assert kind(replace(erased, client="ada"), bare) == "row changed"
    assert kind(erased, [bare[0]._replace(detail='{"client":"ada"}'), *bare[1:]]) == "detail changed"


def test_what_belongs_to_nothing_is_told_unless_the_chain_itself_is_broken() -> None:
    job, lines = told()
    stray = Stray("row changed", "the row holds what no row can hold")
    assert verify(job, job.job_id, lines, [stray]) == Finding(job.job_id, None, *stray)
    assert kind(job, lines[1:], [stray]) == "missing"


def test_a_line_that_continues_another_jobs_chain_was_moved_from_there() -> None:
    (one, ones), (other, others) = told(), told()
    ones[3], others[3] = others[3]._replace(job_id=str(one.job_id)), ones[3]._replace(job_id=str(other.job_id))
    findings = [verify(one, one.job_id, ones), verify(other, other.job_id, others)]
    assert [finding.kind for finding in findings if finding] == ["changed", "changed"]
    said = explained([finding for finding in findings if finding])
    assert [finding.kind for finding in said] == ["moved", "moved"]
    assert str(other.job_id) in said[0].message
    assert explained([Finding(one.job_id, 4, "changed", "", "a", "b")])[0].kind == "changed"


def test_the_hash_of_a_line_is_over_its_texts_as_they_stand() -> None:
    line = told()[1][0]._replace(type='Odd"type', facts='{"a": 1}', commitment=None)
    body = (
        f'{{"after":"queued","at":"{line.at}","before":null,"commitment":null,"facts":{{"a": 1}},'
        f'"job_id":"{line.job_id}","type":"Odd\\"type","version":1}}'
    )
    digest = hashlib.sha256(b"\0" + bytes.fromhex(line.prev_hash) + body.encode()).hexdigest()
    assert audit.stored_hash(line, 1) == digest
