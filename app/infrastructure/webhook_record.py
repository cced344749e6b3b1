"""What the history keeps of one delivery: the request and the answer as an operator may see them, without any secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from app.domain.models import Json
from app.infrastructure.http_client import Answer
from app.infrastructure.webhook_answer import excerpt

MASK = "***"
_SECRET = frozenset({"authorization", "webhook-signature"})
_TELLING = ("content-type", "content-length", "retry-after", "server", "date", "x-request-id", "allow")
# An answer may be long, and only its beginning is kept: the rest need not be looked through for secrets.
_LOOKED_THROUGH = 4096


def request_told(method: str, url: str, headers: Mapping[str, str], size: int) -> dict[str, Json]:
    """What was sent. The last part of a webhook's path is often its only secret, so it is masked as well."""
    return {
        "method": method,
        "url": _told(url),
        "headers": {name.lower(): _value(name.lower(), value) for name, value in headers.items()},
        "size": size,
    }


def answer_told(answer: Answer, secrets: Iterable[str]) -> dict[str, Json]:
    """What came back: the status, telling headers, the first 500 characters."""
    secrets = list(secrets)
    headers = {name: answer.headers[name] for name in _TELLING if name in answer.headers}
    return {
        "status": answer.status,
        "headers": {name: excerpt(value[:_LOOKED_THROUGH], secrets)[:200] for name, value in headers.items()},
        "text": excerpt(answer.text[:_LOOKED_THROUGH], secrets),
    }


def _told(url: str) -> str:
    parts = urlsplit(url)
    folder, _, last = parts.path.rpartition("/")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{folder}/{MASK if last else ''}"


def _value(name: str, value: str) -> str:
    if name in _SECRET:
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {MASK}" if space and name == "authorization" else MASK
    # The boundary of a multipart body is derived from our key.
    return value.partition(";")[0] if name == "content-type" else value
