"""The audit database: reads on a connection per thread, writes through the group-commit writer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from app.domain.errors import Misconfigured, StoreUnavailable
from app.infrastructure.sql_engine import Engine, open_engine, translated
from app.infrastructure.sql_revision import is_current
from app.infrastructure.sql_rows import Codec, Row, Values
from app.infrastructure.sql_writer import Change, GroupWriter

Query: TypeAlias = tuple[str, Values]


class SqlDatabase:
    """One SQLite file (`sqlite:///path`) or PostgreSQL database (`postgresql://...`), shared by the SQL adapters.

    Call `check` before the first use and `close` after the last. `readers` is how many threads read at a time.
    """

    def __init__(self, url: str, *, sqlite_synchronous: str = "FULL", readers: int = 4) -> None:
        self.engine: Engine = open_engine(url, sqlite_synchronous)
        self._writer = GroupWriter(self.engine)
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="sql-reader")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[threading.Thread, Any]] = []

    @property
    def codec(self) -> Codec:
        return self.engine.codec

    def check(self) -> None:
        """Raises Misconfigured where a commit might not survive a power cut, or the schema is not the newest;
        StoreUnavailable when the database cannot be reached."""
        try:
            problems = self.engine.weaknesses()
            with self.engine.sql.connect() as connection:
                current = is_current(connection)
        except self.engine.errors as error:
            raise translated(error) from None
        if not current:
            problems.append("the database's schema is not the newest: run `alembic upgrade head`")
        if problems:
            raise Misconfigured(problems)

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        await self.rows("SELECT version FROM job_log LIMIT 1", {})

    async def write(self, change: Change) -> Any:
        """What the change gives back, once it is durable; raises what it gave back as an exception."""
        return await self._writer.submit(change)

    async def rows(self, sql: str, values: Values, *, quick: bool = False) -> list[Row]:
        """The rows of a query. `quick`: a point read or a page, which on SQLite costs less than a change of thread."""
        return (await self.snapshot([(sql, values)], quick=quick))[0]

    async def snapshot(self, queries: Sequence[Query], *, quick: bool = False) -> list[list[Row]]:
        """The rows of several queries that see the same state of the database."""
        if quick and self.engine.reads_never_wait:
            return self._read(queries)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, queries)
        except RuntimeError:
            raise StoreUnavailable("the database is closed") from None

    async def close(self) -> None:
        """Commits what was submitted, then closes all connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._shut)

    def _shut(self) -> None:
        self._writer.close()
        self._pool.shutdown()
        with self._lock:
            for _, connection in self._open:
                connection.close()
            self._open.clear()
        self.engine.sql.dispose()

    def _read(self, queries: Sequence[Query]) -> list[list[Row]]:
        for tries_left in (1, 0):
            try:
                return self._read_once(queries)
            except self.engine.errors as error:
                stale = self._forget_mine()
                if not (stale and tries_left):
                    raise translated(error) from None
        raise AssertionError  # the last try returns or raises

    def _read_once(self, queries: Sequence[Query]) -> list[list[Row]]:
        cursor = self._mine().cursor()
        text = self.engine.text
        if len(queries) == 1:
            sql, values = queries[0]
            return [cursor.execute(text(sql), values).fetchall()]
        cursor.execute(self.engine.snapshot)
        rows = [cursor.execute(text(sql), values).fetchall() for sql, values in queries]
        cursor.execute("COMMIT")
        return rows

    def _mine(self) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.engine.connect()
            with self._lock:
                gone = [one for thread, one in self._open if not thread.is_alive()]
                self._open = [(thread, one) for thread, one in self._open if thread.is_alive()]
                self._open.append((threading.current_thread(), connection))
            for one in gone:
                one.close()
        return connection

    def _forget_mine(self) -> bool:
        """Closes this thread's connection; says whether it had been lost, so that a new one may do better."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            return False
        self._local.connection = None
        lost = bool(getattr(connection, "closed", False))
        with self._lock:
            self._open = [(thread, one) for thread, one in self._open if one is not connection]
        connection.close()
        return lost
