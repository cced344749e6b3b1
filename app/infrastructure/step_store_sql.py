"""What finished steps made, in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import StaleAttempt
from app.domain.models import JobId
from app.domain.protocols import StepOutput
from app.domain.tools import Usage
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_rows import Values, json_in
from app.infrastructure.sql_writer import Batch, Change, Outcome

# Changes nothing, but holds the row to the end of the transaction: an erasure or a cancellation comes before or after.
FENCE = "UPDATE job_log SET attempt = attempt WHERE job_id = :job_id AND attempt = :attempt AND status = 'processing'"
KEEP = (
    "INSERT INTO step_output (job_id, step, name, seconds, tokens_in, tokens_out, cost, output)"
    " VALUES (:job_id, :step, :name, :seconds, :tokens_in, :tokens_out, :cost, :output) ON CONFLICT DO NOTHING"
)
SELECT = (
    "SELECT step, name, seconds, tokens_in, tokens_out, cost, output FROM step_output"
    " WHERE job_id = :job_id ORDER BY step"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Change):
    """A step that was finished in this attempt."""

    job_id: JobId
    fence: Values
    row: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[Keep]) -> list[Outcome]:
        held = [bool(count) for count in batch.many(FENCE, [keep.fence for keep in run])]
        if rows := [keep.row for keep, ours in zip(run, held, strict=True) if ours]:
            batch.many(KEEP, rows)
        return [
            None if ours else StaleAttempt(f"the job is not being processed in attempt {keep.fence['attempt']}")
            for keep, ours in zip(run, held, strict=True)
        ]


class SqlStepStore:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._codec = database.codec

    async def keep(self, job_id: JobId, attempt: int, done: StepOutput) -> None:
        named = {"job_id": self._codec.id_in(job_id)}
        row = named | {
            "step": done.step,
            "name": done.name,
            "seconds": done.seconds,
            "tokens_in": done.usage.tokens_in,
            "tokens_out": done.usage.tokens_out,
            "cost": done.usage.cost,
            "output": json_in(done.output),
        }
        await self._database.write(Keep(job_id=job_id, fence=named | {"attempt": attempt}, row=row))

    async def kept(self, job_id: JobId) -> list[StepOutput]:
        rows = await self._database.rows(SELECT, {"job_id": self._codec.id_in(job_id)})
        return [
            StepOutput(
                step=step,
                name=name,
                seconds=seconds,
                usage=Usage(tokens_in=tokens_in, tokens_out=tokens_out, cost=cost),
                output=json.loads(output),
            )
            for step, name, seconds, tokens_in, tokens_out, cost, output in rows
        ]
