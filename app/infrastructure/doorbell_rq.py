"""The doorbell as RQ stores it: how the queue writes it and what a worker accepts as one. Written against rq 3.0.0.

Whoever can write to Redis can put anything there. What is stored is therefore compared, byte for byte, with what the
queue itself would have written; it is never unpickled, parsed, imported or called.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from app.domain.models import JobId

FUNC: Final = "app.worker.run_job"  # shown in the dashboard, compared, never imported
DESCRIPTION: Final = "a job; see the job log"
KEPT: Final = 60  # seconds that RQ shows a job after its end
NO_TIMEOUT: Final = -1
PEEKED: Final = 16

# What a queued, requeued or running doorbell consists of. Anything more (callbacks with a name, webhooks,
# dependencies, retries, metadata) was not written by us.
_FILLED = frozenset(
    b"created_at data started_at ended_at last_heartbeat worker_name origin description enqueued_at timeout "
    b"result_ttl failure_ttl status".split()
)
_EMPTY = frozenset(b"success_callback_name failure_callback_name stopped_callback_name group_id".split())


def connect(url: str, *, connect_timeout: float = 1.0, timeout: float = 2.0) -> Redis:
    """A client that gives up soon and leaves trying again to its caller. It does not connect yet."""
    return Redis.from_url(
        url,
        socket_connect_timeout=connect_timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def template(queue: Queue) -> dict[Any, Any]:
    """What RQ stores of every doorbell in this queue. Each has a `data`, times and a status of its own beside it."""
    job = Job("template", connection=queue.connection, serializer=JSONSerializer)
    job.data = b""
    job.origin, job.description, job.timeout = queue.name, DESCRIPTION, NO_TIMEOUT
    job.result_ttl = job.failure_ttl = KEPT
    return job.to_dict()


def key(text: bytes) -> bytes:
    """Where RQ keeps the job of this id."""
    return Job.redis_job_namespace_prefix.encode() + text


def packed(job_id: str) -> bytes:
    """`data` as it is stored."""
    return zlib.compress(data(job_id), 1)


def data(job_id: str) -> bytes:
    """What RQ stores, before compression, for our one function with this one argument."""
    return json.dumps((FUNC, None, (job_id,), {})).encode()  # as rq.serializers.JSONSerializer does it


def job_id(text: bytes) -> JobId | None:
    """The id, if `text` is one in its usual spelling."""
    try:
        found = UUID(text.decode("ascii"))
    except ValueError:
        return None
    return JobId(found) if str(found).encode() == text else None


def accepted(text: bytes, stored: Mapping[bytes, bytes]) -> JobId | None:
    """The job that is rung for, or None when the message is not one of ours."""
    found = job_id(text)
    if found is None or stored.keys() - _FILLED - _EMPTY or any(stored.get(field) for field in _EMPTY):
        return None
    expected = data(str(found))
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(stored.get(b"data", b""), len(expected) + 1)
    except zlib.error:
        return None
    return found if plain == expected and inflate.eof else None
