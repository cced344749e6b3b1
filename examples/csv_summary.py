"""A workflow of one's own, in one file: what is in a table. Set WORKFLOWS_DIR to this folder, and hand in a CSV file."""

from __future__ import annotations

import csv
import io
import statistics
from typing import Annotated

from pydantic import BaseModel, Field

from app.workflows import FileRules, Json, ToolRefused, Work, local_workflow, step


class Params(BaseModel):
    delimiter: Annotated[str, Field(title="Between two cells", min_length=1, max_length=1)] = ","


def columns_of(text: str, delimiter: str) -> dict[str, list[str]]:
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    return {name: [row[name] or "" for row in rows] for name in (rows[0] if rows else {}) if name}


def summary_of(values: list[str]) -> dict[str, Json]:
    filled = [value for value in values if value.strip()]
    try:
        numbers = [float(value) for value in filled]
    except ValueError:
        return {"filled": len(filled), "different": len(set(filled))}
    if not numbers:
        return {"filled": 0}
    return {"filled": len(filled), "least": min(numbers), "most": max(numbers), "mean": statistics.fmean(numbers)}


async def read(work: Work) -> Json:
    columns = await work.off_loop(columns_of, await work.text(), str(work.params["delimiter"]))
    if not columns:
        raise ToolRefused("the table has no rows")
    return {name: list(values) for name, values in columns.items()}


async def summarise(work: Work) -> Json:
    columns: dict[str, list[str]] = work.outputs["read"]  # type: ignore[assignment]
    summary: dict[str, Json] = {name: dict(summary_of(values)) for name, values in columns.items()}
    return {"message": f"{len(summary)} columns", "data": summary}


WORKFLOW = local_workflow(
    "csv_summary",
    "What is in a table",
    Params,
    [step("Reading the table", read, weight=3), step("Summing up", summarise)],
    file=FileRules(media_types=("text/*", "application/csv"), max_size=10_000_000),
)
