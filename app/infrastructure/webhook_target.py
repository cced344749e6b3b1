"""Where a webhook workflow lives and how it is spoken to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Auth(StrEnum):
    """How a delivery shows that it is ours, besides its signature."""

    HEADER = "header"  # Authorization: Bearer <token>
    JWT = "jwt"  # Authorization: Bearer <HS256 token signed with it>
    NONE = "none"


class DeliveryMode(StrEnum):
    """How the file travels."""

    MULTIPART = "multipart"  # attached, up to multipart_limit
    LINK = "link"  # fetched by the workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """One webhook. `timeout` is for each step of a delivery without progress; `api_url` and `api_key` are those of the
    n8n behind it, where it may be asked. Its repr shows no secret."""

    url: str
    auth: Auth = Auth.HEADER
    token: str | None = field(default=None, repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    delivery: DeliveryMode = DeliveryMode.MULTIPART
    multipart_limit: int = 100_000_000
    timeout: timedelta = timedelta(seconds=120)
    api_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
