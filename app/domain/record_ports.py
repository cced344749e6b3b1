"""What the record needs from the outside, beside the job log: an order in time, a file for checkpoints, a signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple, Protocol


class Written(NamedTuple):
    """That a line was written: when, in which job (by its text), as which version, with which hash."""

    at: datetime
    job_id: str
    version: int
    hash: str


class Timeline(Protocol):
    """The lines of all jobs in the order of their times."""

    async def written(self, since: datetime, limit: int, after: Written | None = None) -> list[Written]:
        """At most `limit` lines with a time of `since` or later, by time, job and version; behind `after`, if given.

        A line is seen once it is durable, which may be a while after its time.
        """
        ...


class CheckpointPage(Protocol):
    """The file of checkpoints, ours alone as long as it is open."""

    async def tail(self, far_enough: Callable[[bytes], bool]) -> list[bytes]:
        """The last lines, oldest first, beginning with the newest one that is `far_enough`, or with the first of all.
        A line that was cut off in the middle is among them."""
        ...

    async def append(self, line: bytes) -> None:
        """Adds a line. When this returns, it survives a power cut; a crash leaves all of it or a part of it."""
        ...


class CheckpointBook(Protocol):
    """Where checkpoints are kept, outside the database."""

    def turn(self) -> AbstractAsyncContextManager[CheckpointPage | None]:
        """The file, made if there is none; None while another process has it. Raises StoreUnavailable."""
        ...


class Signer(Protocol):
    """The service's own signature: Ed25519."""

    @property
    def keys(self) -> Sequence[bytes]:
        """The public keys, 32 bytes each: first the one that signs, then older ones. Raises Misconfigured."""
        ...

    def sign(self, statement: bytes) -> bytes:
        """The signature, 64 bytes. Raises Misconfigured."""
        ...
