"""Capabilities and Standard Webhooks signatures. Pure: keys and times come in, text and verdicts go out.

A capability is `kid.expiry.mac`: kid names the key, expiry is Unix seconds (0: as long as the job is kept), mac is
HMAC-SHA256 over `scope|job_id|expiry` in URL-safe base64. It can be derived again, so nothing is stored and every
attempt of a delivery sends the same bytes.

Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from app.domain.models import JobId

TOLERANCE = timedelta(minutes=5)


class Scope(StrEnum):
    """What a capability opens. `BOUNDARY` is no permission: it derives the multipart boundary of a delivery."""

    CALLBACK = "callback"
    FILE = "file"
    PAGE = "page"
    BOUNDARY = "boundary"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Makes and checks capabilities. The first key signs, all of them verify, so keys can be rotated without a gap."""

    keys: tuple[bytes, ...]

    def grant(self, scope: Scope, job_id: JobId, expires_at: datetime | None = None) -> str:
        """The token that opens `scope` of this job until `expires_at`."""
        expiry = 0 if expires_at is None else int(expires_at.timestamp())
        return f"{_kid(self.keys[0])}.{expiry}.{_mac(self.keys[0], scope, job_id, expiry)}"

    def opens(self, token: str, scope: Scope, job_id: JobId, now: datetime) -> bool:
        """Whether `token` is ours, for this job and scope, and not expired. Equal work whatever is wrong."""
        kid, _, rest = token.partition(".")
        digits, _, mac = rest.partition(".")
        expiry = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else -1
        key = next((key for key in self.keys if _kid(key) == kid), b"")
        authentic = hmac.compare_digest(_mac(key or self.keys[0], scope, job_id, expiry).encode(), mac.encode())
        return authentic and bool(key) and (expiry == 0 or expiry >= now.timestamp())


@lru_cache(maxsize=16)
def _kid(key: bytes) -> str:
    return hashlib.sha256(b"kid:" + key).hexdigest()[:8]


def _mac(key: bytes, scope: Scope, job_id: JobId, expiry: int) -> str:
    mac = _keyed(key).copy()
    mac.update(f"{scope}|{job_id}|{expiry}".encode())
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


@lru_cache(maxsize=16)
def _keyed(key: bytes) -> hmac.HMAC:
    """To be copied. `hmac.digest` begins with the key each time, and lets another thread in for it."""
    return hmac.new(key, digestmod="sha256")


def secret_bytes(secret: str) -> bytes:
    """The signing key in a configured secret: printable text itself, or what stands behind `whsec_` in base64.

    Raises ValueError when the base64 is broken.
    """
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def sign_webhook(secrets: Sequence[bytes], message_id: str, at: datetime, payload: bytes) -> str:
    """The `webhook-signature` header: one `v1` signature per secret, so that the far side may rotate."""
    seconds = str(int(at.timestamp()))
    return " ".join(f"v1,{_webhook_mac(secret, message_id, seconds, payload)}" for secret in secrets)


def webhook_is_authentic(
    secrets: Sequence[bytes], message_id: str, seconds: str, signatures: str, payload: bytes, now: datetime
) -> bool:
    """Whether one of `signatures` (a `webhook-signature` header) fits one of `secrets`, and `seconds` is near now."""
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 12):
        return False
    if abs(now.timestamp() - int(seconds)) > TOLERANCE.total_seconds():
        return False
    expected = [f"v1,{_webhook_mac(secret, message_id, seconds, payload)}".encode() for secret in secrets]
    given = [signature.encode() for signature in signatures.split(" ")[:16]]
    matches = [hmac.compare_digest(one, other) for one in expected for other in given]
    return any(matches)  # after all were compared: equal work for every signature


def _webhook_mac(secret: bytes, message_id: str, seconds: str, payload: bytes) -> str:
    message = b".".join([message_id.encode(), seconds.encode(), payload])
    return base64.b64encode(hmac.digest(secret, message, "sha256")).decode()
