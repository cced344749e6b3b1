"""Checkpoints: signed lines outside the database that say where each job's chain stood. Pure.

A line is a statement (see `statements`) in canonical JSON: `at` when it was written, `until` the time up to which lines
of jobs had been looked at, `prev` the SHA-256 of the line before it (zeros at the beginning), `heads` the chains that had
grown since, each as job, version and hash, and `heads_sha256` over these, sorted, one a line. The signature covers all
but the list itself. The first line, and each with another key than the one before it, carries the `public_key`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.domain.audit import StoredLine, canonical, timestamp
from app.domain.models import JobId, Json
from app.domain.record_ports import Signer
from app.domain.statements import CHECKPOINT, Authentic, base64_of, is_authentic, key_id, signed
from app.domain.verification import Finding

BEGINNING = "00" * 32
LATE = timedelta(minutes=10)  # a line may become visible this long after its time: writers wait, processes are paused


class Checkpoint(NamedTuple):
    """One line as it was read. `statement` is all of it but the list of heads."""

    at: datetime
    until: datetime
    prev: str
    heads: dict[str, tuple[int, str]]
    statement: dict[str, Json]
    hash: str


def checkpoint(
    heads: Mapping[str, tuple[int, str]], *, at: datetime, until: datetime, before: Checkpoint | None, signer: Signer
) -> bytes:
    """The line that says that these chains stand so, to follow `before`."""
    key = signer.keys[0]
    statement: dict[str, Json] = {
        "type": CHECKPOINT,
        "at": timestamp(at),
        "until": timestamp(until),
        "prev": before.hash if before else BEGINNING,
        "heads_sha256": _digest(heads),
    }
    if before is None or before.statement.get("key_id") != key_id(key):
        statement["public_key"] = base64_of(key)
    listed: list[Json] = [[job_id, version, digest] for job_id, (version, digest) in sorted(heads.items())]
    return canonical({**signed(CHECKPOINT, statement, signer), "heads": listed})


def parsed(line: bytes) -> Checkpoint | None:
    """What a line says, or None where it is no whole line. Nothing is checked."""
    try:
        statement = json.loads(line)
        heads = {str(job_id): (int(version), str(digest)) for job_id, version, digest in statement.pop("heads")}
        return Checkpoint(
            at=datetime.fromisoformat(statement["at"]),
            until=datetime.fromisoformat(statement["until"]),
            prev=str(statement["prev"]),
            heads=heads,
            statement=statement,
            hash=hashlib.sha256(line).hexdigest(),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _digest(heads: Mapping[str, tuple[int, str]]) -> str:
    lines = sorted(f"{job_id} {version} {digest}" for job_id, (version, digest) in heads.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(slots=True)
class Witness:
    """What a file of checkpoints says about the database. `problems` are about the file itself: line, words."""

    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    lines: int = 0
    at: datetime | None = None
    until: datetime | None = None
    problems: list[tuple[int, str]] = field(default_factory=list)
    torn: list[int] = field(default_factory=list)
    newer: int = 0  # lines of the jobs that were asked about which no checkpoint has seen yet

    def confirms(self, job_id: JobId, lines: Sequence[StoredLine], finding: Finding | None) -> Finding | None:
        """`finding`, or what the checkpoints know better about a job's lines. Each job is asked about once."""
        seen = self.heads.pop(str(job_id), None)
        if seen is None:
            return finding or self._new(job_id, lines)
        version, digest = seen
        whole = 0 < version <= len(lines) and lines[version - 1].hash == digest
        if finding:
            older = finding.kind == "inserted" and whole and finding.version is not None and finding.version <= version
            words = "the row is older than what a checkpoint saw"
            return replace(finding, version=None, kind="row changed", message=words) if older else finding
        if version > len(lines):
            words = f"a checkpoint saw version {version}, the lines end at {len(lines)}"
            return Finding(job_id, len(lines) + 1, "truncated", words)
        if not whole:
            return Finding(job_id, version, "rewritten", "a checkpoint saw another line")
        return self._new(job_id, lines[version:])

    def _new(self, job_id: JobId, lines: Sequence[StoredLine]) -> Finding | None:
        self.newer += len(lines)
        if not lines or self.until is None or lines[0].at >= timestamp(self.until - LATE):
            return None
        words = f"said to be written at {lines[0].at}, and no checkpoint since has seen it"
        return Finding(job_id, lines[0].version, "unwitnessed", words)

    def missing(self) -> Iterator[Finding]:
        """The jobs that checkpoints saw and that nobody has asked about."""
        for job_id, (version, _) in self.heads.items():
            words = f"a checkpoint saw version {version}, and nothing is left of the job"
            yield Finding(JobId(UUID(job_id)), None, "job missing", words)


def read(lines: Iterable[bytes], authentic: Authentic) -> Witness:
    """What a whole file says. Only what is signed by a key that is trusted counts; what is wrong with it is said."""
    witness, prev = Witness(), BEGINNING
    for number, raw in enumerate(lines, 1):
        line = parsed(raw)
        if line is None:
            witness.torn.append(number)  # as a crash leaves it; had it been whole, the next one would name it
            continue
        problem = _problem(line, prev, authentic)
        if problem:
            witness.problems.append((number, problem))
        if problem in (None, _GAP):
            _take(witness, line)
        prev = line.hash
    return witness


_GAP = "it does not follow the line before it: lines were changed, taken out or put in"


def _problem(line: Checkpoint, prev: str, authentic: Authentic) -> str | None:
    if not is_authentic(CHECKPOINT, line.statement, authentic):
        return "its signature is not by a key that is trusted"
    if line.statement.get("heads_sha256") != _digest(line.heads):
        return "its list of chains is not the one that was signed"
    return _GAP if line.prev != prev else None


def _take(witness: Witness, line: Checkpoint) -> None:
    witness.lines += 1
    witness.at, witness.until = line.at, max(line.until, witness.until or line.until)
    for job_id, (version, digest) in line.heads.items():
        witness.heads[job_id] = max((version, digest), witness.heads.get(job_id, (0, "")))
