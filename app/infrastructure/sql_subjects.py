"""How many jobs of one subject may be under way: the same words for whoever starts a job and whoever looks for one.

A job may begin when fewer jobs of its workflow and subject than there are places were started before or are older.
That is one rule for the limit and for the order in the line. Started jobs hold their place until they end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from app.infrastructure.sql_columns import BY_SUBJECT, IN_LINE
from app.infrastructure.sql_engine import Engine

PLACES = 1  # where a workflow says nothing


def ahead(engine: Engine, workflow: str, subject: str, job_id: str) -> str:
    """SQL for how many jobs stand before this one in its subject's line, counted up to `:most`."""
    return (
        f"(SELECT count(*) FROM (SELECT 1 FROM job_log AS other{engine.by(BY_SUBJECT)}"  # noqa: S608 - our own names
        f" WHERE {IN_LINE} AND other.workflow = {workflow} AND other.subject = {subject}"
        f" AND (other.attempt > 0 OR other.job_id < {job_id}) LIMIT :most) AS ahead)"
    )


def may_begin(engine: Engine) -> str:
    """SQL that says whether a job of `job_log` which was never started may be; takes `:places` and `:most`."""
    places = f"coalesce({engine.number_in('places', 'job_log.workflow')}, {PLACES})"
    before = ahead(engine, "job_log.workflow", "job_log.subject", "job_log.job_id")
    return f"(job_log.subject IS NULL OR {before} < {places})"


def most(places: Mapping[str, int]) -> int:
    """No line need be counted further than this."""
    return max(places.values(), default=PLACES)


def turn(workflow: str, subject: str) -> int:
    """The number that stands for a subject's line, in PostgreSQL's advisory locks."""
    digest = hashlib.blake2b(f"{workflow}\0{subject}".encode(), digest_size=8, person=b"callslip-subject")
    return int.from_bytes(digest.digest(), signed=True)
