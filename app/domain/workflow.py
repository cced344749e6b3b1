"""What one kind of work declares about itself. Adding a workflow is adding one of these, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.domain.lifecycle import Periods
from app.domain.models import Json

ANY_TYPE = ("*/*",)

# The names under which a delivery carries facts of its own; no parameter may take one.
RESERVED_NAMES = frozenset(
    {"job_id", "workflow", "filename", "media_type", "size", "sha256", "file_url"}
    | {"callback_url", "callback_token", "metadata", "file"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRules:
    """Which file a workflow wants: media types such as `image/png`, `image/*` or `*/*`, and at most `max_size` bytes."""

    media_types: tuple[str, ...] = ANY_TYPE
    max_size: int

    def takes(self, media_type: str) -> bool:
        """Whether a file of this type may be handed in."""
        family = media_type.partition("/")[0] + "/*"
        return any(rule in (media_type, family, "*/*") for rule in self.media_types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """The declaration of one kind of work.

    `check` takes the submitted parameters and gives back the accepted ones (converted, with defaults); it raises
    `Invalid` naming every refused field. `schema` is their JSON Schema. `file` is None for work without a file.
    `in_flight` is how many of its jobs one worker may run at a time.
    """

    name: str
    title: str
    schema: Mapping[str, Json]
    check: Callable[[Mapping[str, Json]], Mapping[str, Json]]
    file: FileRules | None = None
    in_flight: int = 8
    periods: Periods = field(default_factory=Periods)
