"""What every commit on PostgreSQL needs, sent past psycopg's cursors, straight through its wrapper of libpq.

A cursor costs some 55 us of processor time for each statement and gives Python's lock away several times in it; libpq
alone costs 7 us and gives it away once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Direct:
    """One connection's straight way. What psycopg prepared on it stays: it does not see that a transaction was rolled
    back, which would make it forget all that is prepared, ours as well."""

    def __init__(self, connection: Any, driver: Any) -> None:
        self._libpq, self._driver = connection.pgconn, driver
        found = connection.info.encoding
        self._encoding = "utf-8" if found == "ascii" else found  # as psycopg does where the database has none
        self._good = (driver.pq.ExecStatus.COMMAND_OK, driver.pq.ExecStatus.TUPLES_OK)
        self._prepared: dict[str, bytes] = {}

    def run(self, sql: str) -> None:
        """Runs statements that have neither parameters nor rows. Raises the driver's errors, as all do here."""
        self._checked(self._libpq.exec_(sql.encode()))

    def column(self, sql: str, texts: Sequence[str]) -> list[str]:
        """The first column of a query whose parameters $1, $2 ... are texts. It is prepared when it comes the first time."""
        name = self._prepared.get(sql) or self._prepare(sql)
        found = self._checked(self._libpq.exec_prepared(name, [text.encode(self._encoding) for text in texts]))
        return [found.get_value(row, 0).decode(self._encoding) for row in range(found.ntuples)]

    def _prepare(self, sql: str) -> bytes:
        name = b"callslip_%d" % len(self._prepared)
        self._checked(self._libpq.prepare(name, sql.encode()))
        self._prepared[sql] = name
        return name

    def _checked(self, result: Any) -> Any:
        if result.status not in self._good:
            raise self._driver.errors.error_from_result(result)
        return result
