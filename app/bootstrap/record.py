"""The parts of the record, for a process that signs, and for one that checks with a public key alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from app.core.settings import Settings
from app.domain.models import JobId
from app.domain.protocols import JobLogStore
from app.domain.statements import Authentic
from app.infrastructure import sql_walk
from app.infrastructure.checkpoint_book_file import FileCheckpointBook
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.signer_ed25519 import Ed25519Signer
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.timeline_sql import SqlTimeline
from app.services.checkpoints import CheckpointKeeper
from app.services.clock import DatabaseClock


def signer(settings: Settings) -> Ed25519Signer:
    """The service's own signature."""
    return Ed25519Signer(settings.signing_key_file)


def keeper(settings: Settings, database: SqlDatabase, clock: DatabaseClock) -> CheckpointKeeper:
    """Whoever writes checkpoints."""
    book = FileCheckpointBook(settings.checkpoints)
    return CheckpointKeeper(SqlTimeline(database), book, signer(settings), clock, settings.checkpoint_every)


def trusting(keys: Sequence[bytes]) -> Authentic:
    """What tells whether a signature is by one of these public keys. Raises ValueError for what is no key."""
    from app.infrastructure.ed25519_keys import authentic  # noqa: PLC0415 - brings cryptography

    return authentic(keys)


def rewrite(url: str) -> None:
    """Writes the database anew, without a trace of what was erased. Raises Misconfigured and StoreUnavailable."""
    from app.infrastructure.sql_scrub import scrub  # noqa: PLC0415 - for the one command that does this

    scrub(url)


@asynccontextmanager
async def opened_log(url: str) -> AsyncIterator[JobLogStore]:
    """The job log of a database, for reading: nothing is migrated, and nothing else is opened.

    Raises Misconfigured and StoreUnavailable.
    """
    database = SqlDatabase(url)
    try:
        await asyncio.to_thread(database.check)
        yield SqlJobLogStore(database, keep_notices=False)
    finally:
        await database.close()


async def cuts(url: str, parts: int) -> list[JobId]:
    """Ids that cut a database's history into so many parts; none where that is not worth the while."""
    database = SqlDatabase(url)
    try:
        await asyncio.to_thread(database.check)
        return await sql_walk.cuts(database, parts)
    finally:
        await database.close()
