"""Whether a job's history is as it was written: the chain, the details, and the row that they fold to. Pure.

A finding names what was done as well as can be told from what is left: see `verify` for the kinds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.domain.audit import StoredLine, details, facts, genesis, stored, stored_hash
from app.domain.models import AuditEvent, Job, JobId, JobStatus, Json

UNCHAINED = frozenset({"due_at"})  # a lease renewal moves it without a line
NOTHING: tuple[Json, ...] = (None, "", {})


@dataclass(frozen=True, slots=True)
class Finding:
    """What verification found wrong: in which job, at which version (None: the row itself), which kind, in words.

    `head` is the hash that a line was expected to continue there, `odd` the one that the line found there names.
    """

    job_id: JobId
    version: int | None
    kind: str
    message: str
    head: str | None = None
    odd: str | None = None


class Stray(NamedTuple):
    """Something stored that belongs to nothing, or cannot be read: of which kind that is, in words."""

    kind: str
    message: str


class StoredHistory(NamedTuple):
    """A job's row, if there is one, its lines in stored order, and what is stored about it and fits nowhere."""

    job_id: JobId
    job: Job | None
    lines: list[StoredLine]
    strays: Sequence[Stray]


def verify(
    job: Job | None, job_id: JobId, lines: Iterable[StoredLine | AuditEvent], strays: Sequence[Stray] = ()
) -> Finding | None:
    """The first thing that is wrong with a job's history, or None. `lines` are all of it in stored order.

    Kinds: `missing` `inserted` `reordered` `moved` `changed` `detail changed` `truncated` `row changed` `row missing`.
    """
    kept = [line if isinstance(line, StoredLine) else stored(line) for line in lines]
    if finding := _break(job_id, kept):
        return finding
    if job and job.version > len(kept):
        words = f"the row is at version {job.version}, the lines end at {len(kept)}"
        head = kept[-1].hash if kept else genesis(job_id)
        return Finding(job_id, len(kept) + 1, "truncated", words, head)
    if strays:
        return Finding(job_id, None, *strays[0])
    if job is None:
        return Finding(job_id, None, "row missing", "there are audit lines, but no job")
    return _false_detail(job, kept) or _false_row(job, kept)


def explained(findings: Sequence[Finding]) -> list[Finding]:
    """The same findings; a line that would continue another job's broken chain was moved from there."""
    gaps = {finding.head: finding.job_id for finding in findings if finding.head}
    return [
        replace(one, kind="moved", message=f"the line continues the chain of job {gaps[one.odd]}")
        if one.odd in gaps and gaps[one.odd] != one.job_id
        else one
        for one in findings
    ]


def _break(job_id: JobId, lines: Sequence[StoredLine]) -> Finding | None:
    """Where the lines are no chain, if anywhere."""
    expected, head, status, own = 1, genesis(job_id), None, str(job_id)
    for line in lines:
        if line.job_id != own:
            return Finding(job_id, line.version, "moved", f"belongs to job {line.job_id}")
        if line.version != expected or line.prev_hash != head or not _fits(line, expected):
            kind, words = _diagnosis(line, lines, expected, head)
            return Finding(job_id, line.version, kind, words, head, line.prev_hash)
        if line.before != status:
            return Finding(job_id, line.version, "changed", "the line does not go on where the one before it ended")
        expected, head, status = expected + 1, line.hash, line.after
    return None


def _diagnosis(line: StoredLine, lines: Sequence[StoredLine], expected: int, head: str) -> tuple[str, str]:
    """What happened to a line that does not continue the chain."""
    if not isinstance(line.version, int):  # SQLite keeps what it is given
        return "changed", "its version is no number"
    if line.version < expected:
        return "reordered", f"expected version {expected}"
    if line.version > expected:
        return "missing", f"version {expected} is missing"
    meant = next((other for other in range(1, len(lines) + 2) if other != expected and _fits(line, other)), None)
    if meant is None:
        return "changed", "the line does not continue the chain"
    if meant < expected:
        return "inserted", f"the line is version {meant} of the job: one was put in before it"
    if any(other.prev_hash == head for other in lines):
        return "reordered", f"the line is version {meant} of the job"
    return "missing", f"the line is version {meant} of the job: what stood before it is missing"


def _fits(line: StoredLine, version: int) -> bool:
    try:
        return line.hash == stored_hash(line, version)
    except (TypeError, ValueError):
        return False


def _false_detail(job: Job, lines: Sequence[StoredLine]) -> Finding | None:
    """The first detail that is not the one that its line was committed to."""
    try:
        salt = None if job.salt is None else bytes.fromhex(job.salt)
    except ValueError:
        return Finding(job.job_id, None, "row changed", "salt is not what the lines say")
    false = [line for line in lines if not _committed(line, salt)]
    if not false:
        return None
    with_detail = [line for line in lines if line.detail is not None]
    if salt is not None and len(false) > 1 and false == with_detail:
        return Finding(job.job_id, None, "row changed", "salt is not what the lines say")
    words = (
        "missing, although the job was not erased" if false[0].detail is None else "not the one that was committed to"
    )
    return Finding(job.job_id, false[0].version, "detail changed", f"the detail is {words}")


def _committed(line: StoredLine, salt: bytes | None) -> bool:
    if salt is None or line.detail is None or line.commitment is None:
        return line.detail is None and (salt is None or line.commitment is None)
    digest = hashlib.sha256(b"\x01" + salt + line.version.to_bytes(8) + line.detail.encode())
    return digest.hexdigest() == line.commitment


def _false_row(job: Job, lines: Sequence[StoredLine]) -> Finding | None:
    """What the row says and the lines do not."""
    try:
        said, told = _entries(line.facts for line in lines), _entries(line.detail for line in lines)
    except (TypeError, ValueError):
        return Finding(job.job_id, None, "changed", "a line holds what no line can hold")
    if job.version < len(lines):
        words = f"the row is at version {job.version}, and lines follow"
        return Finding(job.job_id, job.version + 1, "inserted", words)
    if job.salt is None and not any(entries.get("note") == "erased" for entries in said):
        words = "the details are gone, but no line says that the job was erased"
        return Finding(job.job_id, None, "detail changed", words)
    status = lines[-1].after if lines else None
    different = next(_row_differences(job, status, _folded(said), _folded(told)), None)
    if lines and job.head != lines[-1].hash:
        if different:
            return Finding(job.job_id, len(lines), "changed", "the row was made by another line")
        return Finding(job.job_id, None, "row changed", "head is not the newest line's hash")
    return different


def _entries(texts: Iterable[str | None]) -> list[dict[str, Json]]:
    """What stands in these lines or details, parsed all at once: that is quicker. Raises TypeError and ValueError."""
    entries: list[dict[str, Json]] = json.loads(f"[{','.join(filter(None, texts))}]")
    if not all(isinstance(each, dict) for each in entries):
        raise TypeError
    return entries


def _folded(entries: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    folded: dict[str, Json] = {}
    for each in entries:
        folded.update(each)
    return folded


def _row_differences(
    job: Job, status: str | None, said: Mapping[str, Json], told: Mapping[str, Json]
) -> Iterator[Finding]:
    if job.status != status:
        yield Finding(job.job_id, None, "row changed", f"status is {job.status}, the lines say {status}")
    skip = UNCHAINED if job.status is JobStatus.PROCESSING else frozenset()
    for key, value in facts(job).items():
        if value != said.get(key) and key not in skip:
            yield Finding(job.job_id, None, "row changed", f"{key} is not what the lines say")
    for key, value in details(job).items():
        if job.salt is None:
            if value not in NOTHING:
                yield Finding(job.job_id, None, "row changed", f"{key} is filled, although the job was erased")
        elif value != told.get(key, {} if key == "params" else None):
            yield Finding(job.job_id, None, "row changed", f"{key} is not what the lines say")
