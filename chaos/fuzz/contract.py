"""What the contract lets the service answer, typed by hand from it: statuses by address, and the form of a problem."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_JOB = r"/api/v1/jobs/[^/]*"
# Of an address that a request was meant for. The first that fits counts.
ANSWERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("POST", r"/api/v1/jobs", frozenset({202, 400, 401, 408, 413, 415, 422, 429, 503, 507})),
    ("GET", r"/api/v1/jobs", frozenset({200, 401, 422})),
    ("GET", _JOB, frozenset({200, 304, 401, 404, 422})),
    ("GET", f"{_JOB}/history", frozenset({200, 401, 404, 422})),
    ("GET", f"{_JOB}/receipt", frozenset({200, 401, 404, 409, 422, 503})),
    ("GET", f"{_JOB}/events", frozenset({200, 401, 404, 422})),
    ("GET", f"{_JOB}/file", frozenset({200, 206, 304, 401, 404, 410, 412, 416, 422})),
    ("POST", f"{_JOB}/cancel", frozenset({200, 401, 404, 409, 422})),
    ("POST", f"{_JOB}/retry", frozenset({202, 401, 404, 409, 410, 422, 429, 507})),
    ("POST", f"{_JOB}/callback", frozenset({200, 400, 401, 408, 413, 415, 422})),
    ("GET", r"/api/v1/profiles/[^/]*", frozenset({200, 202, 401, 404, 422, 429, 503})),
    ("POST", r"/api/v1/schedules", frozenset({201, 400, 401, 409, 413, 415, 422, 429})),
    ("POST", r"/api/v1/schedules/[^/]*/(pause|resume)", frozenset({200, 401, 404, 409, 422})),
    ("DELETE", r"/api/v1/schedules/[^/]*", frozenset({204, 401, 404, 422})),
    ("POST", r"(/api/v1/reports|/research)", frozenset({202, 400, 401, 408, 413, 415, 422, 429, 503, 507})),
    ("GET", r"/api/v1/reports/[^/]*(/download)?", frozenset({200, 401, 404, 422})),
    ("GET", r"/research(/[^/]*(/status)?)?", frozenset({200, 401, 404, 422})),
    ("GET", r"(/health(/ready)?|/celery/health)", frozenset({200, 503})),
)
# Of whatever is asked of an address that is not there, in a way that is not meant, or outside the API.
ANYWHERE = frozenset({400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 431})
PAGES = frozenset({200, 206, 303, 304, 307, 308, 416, 429}) | ANYWHERE
PROBLEMS = ("/api/", "/health", "/research", "/celery/")  # elsewhere pages are for people
BUGS = (b"Traceback (most", b'File "/', b"site-packages", b"sqlalchemy", b"psycopg", b"sqlite3.")
_FIELDS: Mapping[str, type] = {"type": str, "title": str, "status": int, "detail": str, "instance": str}


def allowed(method: str, path: str) -> frozenset[int]:
    """The statuses that may be answered there."""
    for verb, pattern, statuses in ANSWERS:
        if verb == method and re.fullmatch(pattern, path):
            return statuses | (ANYWHERE - {413, 415, 403})
    return PAGES if not path.startswith("/api/") else ANYWHERE | {200, 307}


def wrong(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """What is wrong with an answer; header names are small letters."""
    found = [f"its body holds {mark.decode()!r}" for mark in BUGS if mark in body]
    if status not in allowed(method, path):
        found.append(f"{status} is not an answer of {method} {path}")
    if "x-request-id" not in headers:
        found.append("it has no X-Request-ID")
    if status >= 400 and method != "HEAD" and path.startswith(PROBLEMS):
        found += _not_a_problem(status, headers, body, health=path.startswith(("/health", "/celery/health")))
    return found


def _not_a_problem(status: int, headers: Mapping[str, str], body: bytes, *, health: bool) -> list[str]:
    if health and status == 503:
        return []
    if not headers.get("content-type", "").startswith("application/problem+json"):
        return [f"{status} came as {headers.get('content-type')!r}"]
    try:
        problem: Any = json.loads(body)
    except ValueError:
        return ["a problem that is not JSON"]
    found = [
        f"a problem whose {name} is {problem.get(name)!r}"
        for name, kind in _FIELDS.items()
        if not isinstance(problem.get(name), kind)
    ]
    if problem.get("status") != status:
        found.append(f"a problem of status {problem.get('status')} with {status}")
    if status in (429, 503, 507) and not headers.get("retry-after"):
        found.append(f"{status} without Retry-After")
    return found
