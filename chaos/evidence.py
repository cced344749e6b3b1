"""What a run leaves behind, from independent hands: clients, the far side, the database, the store, the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENDED = frozenset({"success", "failure", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A client's note: this content, handed in under this key, was answered 202 with this job. Work that needs no file
    has no content."""

    key: str
    job_id: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The far side's note of one delivery. `complete`: the whole body came; `taken`: it set to work on it; `authentic`:
    signature and token were right. Times are the machine's, in seconds; `ended` is when the last byte came."""

    job_id: str
    attempt: int
    body_sha256: str
    file_sha256: str | None
    complete: bool
    taken: bool
    authentic: bool
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """The far side's note of one call back. `marker` is the message, one of its own for each report; `answer` is None
    where the connection broke."""

    job_id: str
    status: str
    marker: str
    answer: int | None
    applied: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job's row, as the database has it in the end."""

    job_id: str
    status: str
    version: int
    attempt: int
    lost_leases: int
    size: int | None
    sha256: str | None
    result_message: str | None
    has_due_at: bool
    file_removed: bool
    salt: str | None
    head: str
    idempotency_key: str | None
    error: str | None = None

    @property
    def local(self) -> bool:
        """Whether the work is done step by step in the worker: what a far side does needs a file in all rows here."""
        return self.sha256 is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a job's history. `at` as the chain has it: RFC 3339, microseconds, UTC."""

    job_id: str
    version: int
    at: str
    type: str
    before: str | None
    after: str
    facts: Mapping[str, Any]
    commitment: str | None
    prev_hash: str
    hash: str
    detail: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file in the store, hashed again at the end."""

    job_id: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What one watcher saw of a job, over all its connections: the versions in the order they came."""

    job_id: str
    versions: tuple[int, ...]
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of it. `honest`: the far side does the work of every delivery that it takes and reports success.
    `verified` is the exit status of `audit verify`; `remains` names what should be gone."""

    acks: tuple[Ack, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    rows: tuple[Row, ...] = ()
    lines: tuple[Line, ...] = ()
    stored: tuple[Stored, ...] = ()
    streams: tuple[Stream, ...] = ()
    verified: int = 0
    remains: tuple[str, ...] = ()
    secrets_found: tuple[str, ...] = ()
    honest: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise: which invariant, of which job, in words."""

    invariant: str
    job_id: str
    words: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.job_id}: {self.words}"
