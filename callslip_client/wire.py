"""How calls look as HTTP, and what answers mean. Pure: nothing here sends or waits."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from callslip_client.errors import FieldError, Misused, NotUnderstood, Problem, problem_class
from callslip_client.uploads import Upload

T = TypeVar("T")

BUSY = frozenset({429, 502, 503, 504})
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_SHA256 = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. `repeatable`: may be sent again although it may have arrived. `patience` is how many seconds the
    answer may take beyond the usual."""

    method: str = "GET"
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Upload | None = None
    repeatable: bool = True
    busy: frozenset[int] = BUSY
    patience: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; header names in lower case. The body of a stream is read piece by piece, not here."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def authorization(api_key: str | None) -> dict[str, str]:
    """The header that carries the key. Raises Misused, without the key, for one that no header can carry."""
    if not api_key:
        return {}
    if not _HEADER_TEXT.fullmatch(api_key):
        raise Misused("the API key has characters that no key has; was something else pasted?")
    return {"Authorization": f"Bearer {api_key}"}


def submission(upload: Upload, idempotency_key: str) -> Request:
    """Hands in."""
    if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise Misused("an idempotency key has 1 to 255 printable ASCII characters")
    return Request(method="POST", path="/api/v1/jobs", headers={"Idempotency-Key": idempotency_key}, body=upload)


def job(job_id: str, rest: str = "", **more: Any) -> Request:
    """A call about one job."""
    return Request(path=f"/api/v1/jobs/{quote(str(job_id), safe='')}{rest}", **more)


def act(job_id: str, what: str) -> Request:
    """Cancel or retry. A second one is not the same as the first, so it is repeated only where it did not arrive."""
    return job(job_id, f"/{what}", method="POST", repeatable=False)


def look(job_id: str, etag: str | None, wait: float) -> Request:
    """A job, as soon as it differs from `etag`, or after `wait` seconds."""
    if etag is None:
        return job(job_id)
    seconds = math.ceil(wait)
    return job(job_id, query={"wait": str(seconds)}, headers={"If-None-Match": etag}, patience=seconds)


def events(job_id: str, after: int) -> Request:
    """The stream of a job's history behind line `after`. Silence beyond three of its comments is a broken connection."""
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
    return job(job_id, "/events", headers={**headers, **({"Last-Event-ID": str(after)} if after else {})}, patience=20)


def file(job_id: str, start: int, etag: str | None) -> Request:
    """A job's file from byte `start`, if it is still the one that `etag` names."""
    headers = {"Accept-Encoding": "identity"}
    if start and etag:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag}
    return job(job_id, "/file", headers=headers)


def judged(answer: Answer) -> Answer:
    """The answer, where it is a yes. Raises Problem, or NotUnderstood for a redirect."""
    if answer.status < 300 or answer.status == 304:
        return answer
    if answer.status < 400:
        place = answer.headers.get("location", "elsewhere")
        raise NotUnderstood(f"the address redirects to {place}; redirects are not followed, use that address instead")
    raise problem(answer)


def problem(answer: Answer) -> Problem:
    """The error that this answer is."""
    said = _members(answer.body)
    listed = said.get("errors")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    phrase = _PHRASES.get(answer.status, "an unknown answer")
    return problem_class(answer.status)(
        answer.status,
        type=str(said.get("type", "")),
        title=str(said.get("title", phrase)),
        detail=str(said.get("detail") or ("" if "title" in said else f"the address answered {phrase}")),
        errors=[FieldError(str(one.get("field", "")), str(one.get("message", ""))) for one in found],
        retry_after=retry_after(answer),
    )


def retry_after(answer: Answer) -> float | None:
    """The wish in `Retry-After` in seconds, be it a number or a date."""
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,8}", text, re.ASCII):
        return float(text)
    at, now = _date(text), date_of(answer)
    return max((at - now).total_seconds(), 0.0) if at and now else None


def date_of(answer: Answer) -> datetime | None:
    """When the service says that it answered, by its clock."""
    return _date(answer.headers.get("date", ""))


def sha256_of(answer: Answer) -> bytes | None:
    """The digest of the whole file, from `Repr-Digest` (RFC 9530)."""
    found = _SHA256.search(answer.headers.get("repr-digest", ""))
    return base64.b64decode(found[1]) if found else None


def start_of(answer: Answer) -> int:
    """With which byte of the file the answer's body begins."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "")) if answer.status == 206 else None
    return int(found[1]) if found else 0


def read(answer: Answer, build: Callable[[Mapping[str, Any]], T]) -> T:
    """The answer as a value. Raises Problem, NotUnderstood."""
    return understood(judged(answer).body, build)


def understood(text: bytes | str, build: Callable[[Mapping[str, Any]], T]) -> T:
    """JSON text as a value. Raises NotUnderstood."""
    try:
        return build(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotUnderstood("something answers at this address, but not as Callslip does") from error


def _members(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
