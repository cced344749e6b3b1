"""Whether a delivery is authentic: what a careful receiver does before it believes a word."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt
from standardwebhooks import Webhook, WebhookVerificationError


class Refused(Exception):
    """The delivery is not taken; `status` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The receiver's side of the agreement. `auth` is `none`, or anything else for a token that is sent or signed with."""

    token: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    auth: str = "header"

    def authorization(self, header: str | None) -> None:
        """Takes the token itself, or a JWT signed with it, as n8n's two kinds of credentials do."""
        if self.auth == "none":
            return
        if not header:
            raise Refused(401, "No token provided")
        bearer = header.removeprefix("Bearer ")
        if self.token and hmac.compare_digest(bearer.encode(), self.token.encode()):
            return
        try:
            jwt.decode(bearer, self.token, algorithms=["HS256"], options={"require": ["exp", "job_id"]})
        except jwt.PyJWTError:
            raise Refused(403, "Authorization data is wrong!") from None

    def signature(self, headers: Mapping[str, str], signed: bytes) -> None:
        """Takes a Standard Webhooks signature by one of our secrets, by the standard's own library."""
        for secret in self.secrets:
            key = secret if secret.startswith("whsec_") else "whsec_" + base64.b64encode(secret.encode()).decode()
            try:
                Webhook(key).verify(signed, dict(headers), json_parse=False)
            except WebhookVerificationError:
                continue
            return
        raise Refused(401, "the signature is wrong")
