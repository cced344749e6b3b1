"""Rows that are added: one by one on SQLite; on PostgreSQL all at once, as one JSON text.

There a statement costs a round trip however many rows it brings, and psycopg sends rows one by one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from app.infrastructure.sql_rows import Values

_encode = json.JSONEncoder(
    default=str, ensure_ascii=False, separators=(",", ":")
).encode  # times and ids as their texts


@dataclass(frozen=True, eq=False)
class Insert:
    """What adds rows of these columns to a table."""

    table: str
    columns: Sequence[str]

    @cached_property
    def one(self) -> str:
        """SQL that takes the columns of one row."""
        values = ", ".join(f":{name}" for name in self.columns)
        return f"INSERT INTO {self.table} ({', '.join(self.columns)}) VALUES ({values})"  # noqa: S608 - names from our own tables

    def many(self, parameter: int, where: str = "true") -> str:
        """SQL for PostgreSQL that takes rows as JSON, and adds those `new` ones of which the condition is true."""
        names = ", ".join(self.columns)
        return (
            f"INSERT INTO {self.table} ({names}) SELECT {names} FROM json_populate_recordset("  # noqa: S608 - as above
            f"CAST(NULL AS {self.table}), CAST(${parameter} AS json)) AS new WHERE {where} ORDER BY job_id"
        )


def as_json(rows: Sequence[Values]) -> str:
    """Rows as a parameter of `Insert.many`."""
    return _encode(rows)


@lru_cache(maxsize=16)
def all_at_once(inserts: tuple[Insert, ...]) -> str:
    """One statement for PostgreSQL that adds rows to several tables."""
    *first, last = (insert.many(number) for number, insert in enumerate(inserts, 1))
    named = ", ".join(f"table_{number} AS ({sql})" for number, sql in enumerate(first))
    return f"WITH {named} {last}" if first else last
