"""What was kept of far sides' answers, in SQLite or PostgreSQL, bounded by size and age."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.domain.answers import KeptAnswer
from app.domain.models import JobId
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_rows import Values
from app.infrastructure.sql_writer import Batch, Change, Outcome

SELECT = "SELECT body, etag, next, at FROM http_cache WHERE key = :key"
KEEP = (
    "INSERT INTO http_cache (key, at, size, etag, next, body) VALUES (:key, :at, :size, :etag, :next, :body)"
    " ON CONFLICT (key) DO UPDATE SET at = excluded.at, size = excluded.size, etag = excluded.etag,"
    " next = excluded.next, body = excluded.body"
)
FORGET_OLD = "DELETE FROM http_cache WHERE at < :oldest"
FORGET_MORE = (
    "DELETE FROM http_cache WHERE key IN (SELECT key FROM (SELECT key, sum(size) OVER (ORDER BY at DESC, key) AS total"
    " FROM http_cache) AS sums WHERE total > :most)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Change):
    """An answer, and the bounds of the cache. `job_id` is of no job: it orders writes as all processes order them."""

    job_id: JobId
    values: Values
    bounds: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[Keep]) -> list[Outcome]:
        batch.many(KEEP, [keep.values for keep in run])
        batch.many(FORGET_OLD, [run[-1].bounds])
        batch.many(FORGET_MORE, [run[-1].bounds])
        return [None for _ in run]


class SqlAnswerCache:
    """Holds at most `most` characters, and nothing that has not been known to hold for `keep_for`."""

    def __init__(
        self, database: SqlDatabase, *, most: int = 64 * 1024 * 1024, keep_for: timedelta = timedelta(days=60)
    ) -> None:
        self._database, self._most, self._keep_for = database, most, keep_for

    async def get(self, key: str) -> KeptAnswer | None:
        rows = await self._database.rows(SELECT, {"key": key}, quick=True)
        if not rows:
            return None
        body, etag, following, at = rows[0]
        return KeptAnswer(body=body, etag=etag, next=following, at=self._database.codec.time_out(at))

    async def put(self, key: str, answer: KeptAnswer) -> None:
        if len(answer.body) > self._most:
            return
        time_in = self._database.codec.time_in
        values = {
            "key": key,
            "at": time_in(answer.at),
            "size": len(answer.body),
            "etag": answer.etag,
            "next": answer.next,
            "body": answer.body,
        }
        bounds = {"oldest": time_in(answer.at - self._keep_for), "most": self._most}
        place = JobId(UUID(bytes=hashlib.blake2b(key.encode(), digest_size=16).digest()))
        await self._database.write(Keep(job_id=place, values=values, bounds=bounds))
