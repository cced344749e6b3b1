"""Where the queue is, and the server that has to run for it. Imports little, so that the launcher starts at once."""

from __future__ import annotations

from app.core.settings import Settings
from app.infrastructure.valkey_embedded import EmbeddedValkey


def embedded_queue(settings: Settings) -> EmbeddedValkey | None:
    """The queue server that has to run beside us, or None when the settings name one."""
    return None if settings.redis_url else EmbeddedValkey(settings.data_dir / "valkey")


def redis_url(settings: Settings) -> str:
    """As set, else the embedded server of this data folder, whether or not it runs now."""
    return settings.redis_url or EmbeddedValkey(settings.data_dir / "valkey").url
