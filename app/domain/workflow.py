"""What one kind of work declares about itself. Adding a workflow is adding one of these, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from app.domain.lifecycle import Periods
from app.domain.models import Json

ANY_TYPE = ("*/*",)
SOFT_LIMIT, HARD_LIMIT = timedelta(seconds=240), timedelta(seconds=300)

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


class Anonymous(StrEnum):
    """What somebody without a key may do with a workflow."""

    NOTHING = "nothing"
    READ = "read"  # see the newest result there is, however old; never start work


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a local workflow.

    `run` is an async function. Its first argument is the `Work` at hand (`app.domain.work`); every further one is
    annotated with a Protocol of `app.domain.tools` (or of the workflow's own file) and receives the adapter that the
    composition root chose. What it returns is stored, and later steps find it under the step's name. `weight` is its
    share of the whole; past `soft_limit` it is told to finish, past `hard_limit` it is ended.
    """

    name: str
    title: str
    run: Callable[..., Awaitable[Json]]
    weight: float = 1.0
    soft_limit: timedelta = SOFT_LIMIT
    hard_limit: timedelta = HARD_LIMIT


LONGEST_KEY = 400  # of a key in bytes: an index takes no more than about 2,700 on PostgreSQL


def _nothing(_params: Mapping[str, Json]) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """The declaration of one kind of work.

    `check` takes the submitted parameters and gives back the accepted ones (converted, with defaults); it raises
    `Invalid` naming every refused field. `schema` is their JSON Schema. `file` is None for work without a file. `door`
    looks at the accepted parameters once more, with tools that it names as a step does (a plain function; it raises
    `Invalid`): for what only the installation knows. `in_flight` is how many of its jobs one worker may run at a time.
    `steps` are what a local workflow does, in order; a webhook workflow has none.

    `dedup` names the outcome that parameters ask for: whoever asks for the same while a job for it is unfinished joins
    that job, and for `fresh_for` after its success that result answers. `subject` names what at most `subject_limit` of
    its jobs may be about at a time, from their start to their end; the others wait in order. `keep_for` is how long an
    ended job is kept (None: as the settings say). `formats` are what its result can be downloaded as.
    """

    name: str
    title: str
    schema: Mapping[str, Json]
    check: Callable[[Mapping[str, Json]], Mapping[str, Json]]
    door: Callable[..., None] | None = None
    file: FileRules | None = None
    in_flight: int = 8
    periods: Periods = field(default_factory=Periods)
    steps: tuple[Step, ...] = ()
    dedup: Callable[[Mapping[str, Json]], str | None] = _nothing
    subject: Callable[[Mapping[str, Json]], str | None] = _nothing
    subject_limit: int = 1
    fresh_for: timedelta | None = None
    keep_for: timedelta | None = None
    anonymous: Anonymous = Anonymous.NOTHING
    formats: tuple[str, ...] = ()

    def dedup_key(self, params: Mapping[str, Json], sha256: str | None = None) -> str | None:
        """The key of the outcome that these accepted parameters ask for, or None where each job is one of its own.

        Two different files never have the same outcome, so the file's hash is part of the key.
        """
        outcome = self.dedup(params)
        if outcome is None:
            return None
        return _bounded(":".join([self.name, outcome, *([sha256] if sha256 else [])]))

    def subject_of(self, params: Mapping[str, Json]) -> str | None:
        """What a job with these accepted parameters is about, or None where nothing limits it."""
        subject = self.subject(params)
        return None if subject is None else _bounded(subject)


def _bounded(key: str) -> str:
    content = key.encode()
    if len(content) <= LONGEST_KEY:
        return key
    return f"{content[:100].decode(errors='ignore')} {hashlib.sha256(content).hexdigest()}"
