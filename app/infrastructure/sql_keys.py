"""Which job an idempotency key stands for: the one that was made with it, or the one that its submission joined.

The first is a column of the job's own row. The second is a row of `joined_key`, which goes when the job is erased.
"""

from __future__ import annotations

import hashlib

from app.infrastructure.sql_engine import Engine

_MINE = "client = :client AND idempotency_key = :idempotency_key"
JOINED = f"EXISTS (SELECT 1 FROM joined_key WHERE {_MINE})"  # noqa: S608 - our own names
HOLDER = (
    f"SELECT job_id, fingerprint FROM job_log WHERE {_MINE}"  # noqa: S608 - as above
    f" UNION ALL SELECT job_id, fingerprint FROM joined_key WHERE {_MINE}"
)


def joined_by(row: str) -> str:
    """SQL that says whether the key of this row was joined to a job."""
    return (
        f"EXISTS (SELECT 1 FROM joined_key AS other WHERE other.client = {row}.client"  # noqa: S608 - as above
        f" AND other.idempotency_key = {row}.idempotency_key)"
    )


def join(engine: Engine) -> str:
    """SQL that keeps a key for a job of somebody else's, unless that job was erased.

    On PostgreSQL it waits for whoever is changing the job: an erasure comes before, or finds the key and removes it.
    """
    share = " FOR SHARE" if engine.name == "postgresql" else ""
    return (
        "INSERT INTO joined_key (client, idempotency_key, fingerprint, job_id)"  # noqa: S608 - as above
        " SELECT :client, :idempotency_key, :fingerprint, job_id FROM job_log"
        f" WHERE job_id = :job_id AND salt IS NOT NULL{share} ON CONFLICT DO NOTHING"
    )


def turn(client: str, key: str) -> int:
    """The number that stands for a key, in PostgreSQL's advisory locks."""
    digest = hashlib.blake2b(f"{client}\0{key}".encode(), digest_size=8, person=b"callslip-key")
    return int.from_bytes(digest.digest(), signed=True)
