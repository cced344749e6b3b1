"""The use cases, and the bundle of everything that an entry point holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.domain.protocols import FileStore, JobAgenda, JobFeed, JobLogStore, JobQueue, JobSearch, JobStatistics
from app.domain.record_ports import Signer
from app.domain.report import Templates
from app.domain.signing import Capabilities
from app.domain.tools import Renderer
from app.domain.workflow import Workflow
from app.services.checkpoints import CheckpointKeeper
from app.services.clock import DatabaseClock
from app.services.counts import Counts
from app.services.estimates import Estimates
from app.services.freshness import FreshnessService
from app.services.housekeeping import Housekeeping
from app.services.notices import NoticeService
from app.services.retention import Retention
from app.services.schedules import ScheduleService
from app.services.task_service import TaskService


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What one upload may cost: sizes in bytes, `min_rate` in bytes per second averaged over `rate_window`.
    `max_of_client`: one client's uploads at a time (0: no bound of its own)."""

    max_size: int
    max_concurrent: int
    min_rate: int
    rate_window: timedelta
    idle_timeout: timedelta
    max_field: int = 64 * 1024
    max_parts: int = 64
    max_of_client: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Built once per process by `app.bootstrap`, handed to whoever serves.

    `api_keys` maps client names to their keys; `clock` is the database's time; `dashboard` is an ASGI application that must
    be put behind authentication, or None. `renderers` are by the name of the form that they give a report.
    """

    tasks: TaskService
    schedules: ScheduleService
    freshness: FreshnessService
    notices: NoticeService | None
    housekeeping: Housekeeping
    log: JobLogStore
    agenda: JobAgenda
    search: JobSearch
    counts: Counts
    statistics: JobStatistics
    estimates: Estimates
    queue: JobQueue
    feed: JobFeed
    files: FileStore
    workflows: Mapping[str, Workflow]
    capabilities: Capabilities
    signer: Signer
    checkpoints: CheckpointKeeper
    api_keys: Mapping[str, Sequence[str]]
    callback_secrets: tuple[bytes, ...]
    clock: DatabaseClock
    link_ttl: timedelta
    public_url: str
    upload: UploadLimits
    database_check: Callable[[], Awaitable[None]]
    retention: Retention | None = None
    sse_heartbeat: timedelta = timedelta(seconds=15)
    dashboard: Any = None
    renderers: Mapping[str, Renderer] = field(default_factory=dict)
    report_templates: Templates | None = None
