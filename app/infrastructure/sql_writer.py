"""The group-commit writer: one thread, one connection, one transaction for all changes that wait."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import inf
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from app.core.metrics import COMMIT
from app.domain.errors import StoreUnavailable
from app.domain.models import JobId
from app.infrastructure.sql_engine import BUSY, Engine, code, contended, translated
from app.infrastructure.sql_inserts import Insert, all_at_once, as_json
from app.infrastructure.sql_libpq import Direct
from app.infrastructure.sql_rows import Row, Values
from app.infrastructure.sql_scrub import emptied

logger = logging.getLogger(__name__)

LARGEST_BATCH = 256
IN_TURN = "SELECT pg_advisory_xact_lock(turn) FROM (SELECT unnest(ARRAY[{}]::bigint[]) AS turn ORDER BY 1) AS turns"
PAUSES = (0.0, 0.1, 0.5)  # seconds before each try to reach a database that went away
LOOK_AGAIN = 0.001  # seconds between two looks whether another process has done with SQLite
SCRUB_AGAIN = 0.5  # seconds between tries to empty SQLite's log of what was erased, while somebody reads from it
SCRUB_ANYWAY = 60.0  # and at least so often, for a process that erased and was killed before it could

Outcome: TypeAlias = object  # what the change gives back, or the exception that its caller gets


class Batch:
    """One open transaction, as changes see it."""

    def __init__(self, engine: Engine, cursor: Any, direct: Direct | None) -> None:
        self.engine, self.direct = engine, direct  # PostgreSQL has a shorter way
        self.scrub = False  # set when something was erased: SQLite's WAL still holds it after the commit
        self._cursor = cursor
        self._later: dict[Insert, list[Values]] = {}

    def begin(self, turns: Iterable[int]) -> None:
        """Begins the transaction, and keeps other processes away from what these numbers stand for until it ends.

        All at once, in order, and before any row is touched: whoever waits here holds nothing. SQLite has one writer.
        """
        wanted = sorted(set(turns)) if self.direct else []
        turn = IN_TURN.format(",".join(map(str, wanted)))  # numbers of our own: they need no parameter
        self.do(f"{self.engine.begin}; {turn}" if wanted else self.engine.begin)

    def many(self, sql: str, values: Sequence[Values]) -> list[int]:
        """Runs one statement for each of these; says how many rows each one changed."""
        text, cursor = self.engine.text(sql), self._cursor
        if self.engine.name == "sqlite" or len(values) == 1:
            return [cursor.execute(text, one).rowcount for one in values]
        cursor.executemany(text, values, returning=True)
        counts = [cursor.rowcount]
        while cursor.nextset():
            counts.append(cursor.rowcount)
        return counts

    def rows(self, sql: str, values: Values) -> list[Row]:
        """The rows of a query inside the transaction."""
        rows: list[Row] = self._cursor.execute(self.engine.text(sql), values).fetchall()
        return rows

    def do(self, sql: str) -> None:
        """Runs a statement that has neither parameters nor rows."""
        (self.direct.run if self.direct else self._cursor.execute)(sql)

    def later(self, insert: Insert, values: Values) -> None:
        """Adds a row, before the commit and together with all its like."""
        self._later.setdefault(insert, []).append(values)

    def flush(self) -> None:
        """Adds what was left for later."""
        waiting, self._later = self._later, {}
        if self.direct and waiting:
            self.direct.column(all_at_once(tuple(waiting)), [as_json(values) for values in waiting.values()])
            return
        for insert, values in waiting.items():
            self._cursor.executemany(insert.one, values)


class Change(ABC):
    """Something to be written about one job. Each kind knows how to write a run of its like."""

    __slots__ = ()
    job_id: JobId

    @property
    def turn(self) -> int | None:
        """The same number for all changes of which no two may be weighed at a time; None for most."""
        return None

    @staticmethod
    @abstractmethod
    def apply(batch: Batch, run: Sequence[Any]) -> list[Outcome]:
        """Writes these changes, all of this class, in their order; one outcome each."""


@dataclass(frozen=True, slots=True)
class _Member:
    change: Change
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class GroupWriter:
    """Commits what waits, all at once; whoever comes meanwhile is in the next batch. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._direct: Direct | None = None
        self._queue: SimpleQueue[_Member | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._scrub_at = 0.0 if engine.name == "sqlite" else inf
        self._begun = False  # whether the next batch's transaction is open already

    def submit(self, change: Change) -> asyncio.Future[Any]:
        """Hands in a change; the running loop's future tells its outcome once it is durable."""
        loop = asyncio.get_running_loop()
        member = _Member(change, loop, loop.create_future())
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the database is being closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sql-writer", daemon=True)
                self._thread.start()
            self._queue.put(member)
        return member.future

    def close(self) -> None:
        """Commits what was submitted, then ends the thread. Blocks until then."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        closing = False
        while not closing:
            members, closing, locked = self._take()
            members = [member for member in members if not member.future.cancelled()]
            if locked:
                _tell(members, [translated(locked) for _ in members])
            elif members:
                _tell(members, self._outcomes([member.change for member in members]))
            elif self._begun:
                self._roll_back()
            if time.monotonic() >= self._scrub_at:
                self._scrub()
        self._drop()

    def _take(self) -> tuple[list[_Member], bool, Exception | None]:
        """What waits, whether it is the last, and what the database says where it is locked for too long."""
        members: list[_Member] = []
        try:
            member = self._queue.get(timeout=self._until_scrub())
        except Empty:
            return members, False, None
        locked = self._begin_early() if member and self._engine.name == "sqlite" else None
        while member is not None:
            members.append(member)
            if len(members) == LARGEST_BATCH:
                return members, False, locked
            try:
                member = self._queue.get_nowait()
            except Empty:
                return members, False, locked
        return members, True, locked

    def _begin_early(self) -> Exception | None:
        """Waits until no other process writes, and begins, before the changes are collected: what comes in meanwhile
        shares the commit. SQLite's own wait sleeps for up to a tenth of a second at a time, and others go first.

        Gives back what the database says when that took too long. Any other trouble is met again, and told, by the batch.
        """
        until = time.monotonic() + int(BUSY) / 1000
        try:
            connection = self._connected()
            with _waiting_for_nobody(connection):
                while busy := self._refusal(connection):
                    if time.monotonic() > until:
                        return busy
                    time.sleep(LOOK_AGAIN)
            self._begun = True
        except self._engine.errors:
            self._drop()
        except Exception:  # outermost frame of the thread, as in `_outcomes`: without it nobody would be told anything
            logger.exception("writer_failed")
            self._drop()
        return None

    def _refusal(self, connection: Any) -> Exception | None:
        """Begins; where another process is in the way, what SQLite says. Raises whatever else it says."""
        try:
            connection.execute(self._engine.begin)
        except self._engine.errors as error:
            if code(error).startswith("SQLITE_BUSY"):
                return error
            raise
        return None

    def _outcomes(self, changes: list[Change]) -> list[Outcome]:
        # Any order but that of the ids, the same in all processes, deadlocks on PostgreSQL. Python's sort keeps the
        # order of one job's lines.
        order = sorted(range(len(changes)), key=lambda index: changes[index].job_id.int)
        outcomes: list[Outcome] = [None] * len(changes)
        try:
            found = self._write([changes[index] for index in order])
        except Exception as error:  # outermost frame of the thread: nobody may wait for ever
            logger.exception("writer_failed")
            self._drop()
            found = [error] * len(changes)
        for index, outcome in zip(order, found, strict=True):
            outcomes[index] = outcome
        return outcomes

    def _write(self, changes: list[Change]) -> list[Outcome]:
        for pause in PAUSES:
            if pause:  # to sleep for no time at all still lets the other threads go first
                time.sleep(pause)
            try:
                batch, outcomes = self._run(changes)
            except self._engine.errors as error:
                if self._lost():
                    lost = error
                    continue
                return self._apart(changes, error)
            except (ValueError, OverflowError) as error:  # a value that the driver cannot encode
                return self._apart(changes, error)
            return self._commit(batch, outcomes)
        return [translated(lost) for _ in changes]

    def _run(self, changes: list[Change]) -> tuple[Batch, list[Outcome]]:
        batch = Batch(self._engine, self._connected().cursor(), self._direct)
        if not self._begun:
            batch.begin(change.turn for change in changes if change.turn is not None)
        self._begun = False
        outcomes: list[Outcome] = []
        for kind, run in groupby(changes, _kind):
            outcomes.extend(kind.apply(batch, list(run)))
        batch.flush()
        return batch, outcomes

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._direct = self._engine.direct(self._connection)
        return self._connection

    def _commit(self, batch: Batch, outcomes: list[Outcome]) -> list[Outcome]:
        try:
            with COMMIT.time():
                batch.do("COMMIT")
        except self._engine.errors as error:
            self._drop()  # whether it was committed is unknown: the callers must look
            return [translated(error) for _ in outcomes]
        if batch.scrub and self._engine.name == "sqlite":
            self._scrub_at = 0.0
            self._scrub()
        return outcomes

    def _until_scrub(self) -> float | None:
        return None if self._scrub_at == inf else max(self._scrub_at - time.monotonic(), 0.0)

    def _scrub(self) -> None:
        """Empties SQLite's log, which holds what was erased; where somebody reads from it, soon again."""
        done = False
        try:
            connection = self._connected()
            with _waiting_for_nobody(connection):  # nobody's commit waits for a reader
                done = emptied(connection)
        except self._engine.errors as error:
            self._drop()
            logger.warning("checkpoint_failed", extra={"reason": str(translated(error))})
        self._scrub_at = time.monotonic() + (SCRUB_ANYWAY if done else SCRUB_AGAIN)

    def _apart(self, changes: list[Change], error: Exception) -> list[Outcome]:
        """A batch that raised: its members one by one, where one of them may be to blame."""
        self._roll_back()
        if len(changes) == 1:
            return [translated(error) if isinstance(error, self._engine.errors) else error]
        if self._engine.is_down(error) and not contended(error):
            return [translated(error) for _ in changes]
        return [outcome for change in changes for outcome in self._write([change])]

    def _lost(self) -> bool:
        """Whether there is no connection (any more); nothing was committed then."""
        if self._connection is not None and not getattr(self._connection, "closed", False):
            return False
        self._drop()
        return self._engine.name == "postgresql"

    def _roll_back(self) -> None:
        self._begun = False
        try:
            if self._direct:
                self._direct.run("ROLLBACK")
            elif self._connection is not None:
                self._connection.rollback()
        except self._engine.errors:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._direct, self._begun = self._connection, None, None, False
        try:
            if connection is not None:
                connection.close()
        except self._engine.errors as error:
            logger.warning("connection_not_closed", extra={"reason": str(translated(error))})


@contextmanager
def _waiting_for_nobody(connection: Any) -> Iterator[None]:
    """SQLite says at once that it is locked. A connection that raises meanwhile is not to be used again."""
    connection.execute("PRAGMA busy_timeout = 0").fetchall()
    yield
    connection.execute(f"PRAGMA busy_timeout = {BUSY}").fetchall()


def _kind(change: Change) -> type[Change]:
    return type(change)


def _tell(members: Iterable[_Member], outcomes: Iterable[Outcome]) -> None:
    """One call into each loop, however many of its tasks wait."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = defaultdict(list)
    for member, outcome in zip(members, outcomes, strict=True):
        by_loop[member.loop].append((member.future, outcome))
    for loop, results in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, results)
        except RuntimeError:  # the loop was closed: nobody waits there any more
            logger.debug("loop_closed")


def _settle(results: Iterable[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, outcome in results:
        if future.done():  # cancelled
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
