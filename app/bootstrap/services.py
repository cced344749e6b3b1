"""Settings in, services out, for any process. Every adapter is chosen here, and closed by whoever opened it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import uvloop
from pydantic import SecretStr

from app.bootstrap import record
from app.bootstrap.local_workflows import local_workflows
from app.bootstrap.queue import redis_url
from app.bootstrap.renderers import renderers
from app.bootstrap.report_tools import report_templates
from app.bootstrap.tools import tools
from app.bootstrap.workflows import configured_workflows, periods_of
from app.core.settings import Settings
from app.domain.errors import CallslipError, Unavailable
from app.domain.models import Job, JobId, Json
from app.domain.protocols import Runner
from app.domain.quotas import Quota, Quotas, Unit
from app.domain.signing import Capabilities, secret_bytes
from app.domain.workflow import Workflow
from app.infrastructure.calendar_cron import CronCalendar
from app.infrastructure.feed_redis import RedisJobFeed
from app.infrastructure.file_store_local import LocalFileStore
from app.infrastructure.http_client import build_client
from app.infrastructure.job_agenda_sql import SqlJobAgenda
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.job_search_sql import SqlJobSearch
from app.infrastructure.job_statistics_sql import SqlJobStatistics
from app.infrastructure.notice_box_sql import SqlNoticeBox
from app.infrastructure.notifier_webhook import WebhookNotifier
from app.infrastructure.off_loop import OffLoop
from app.infrastructure.queue_rq import RqJobQueue
from app.infrastructure.runner_steps import StepPorts, StepRunner
from app.infrastructure.runner_webhook import WebhookRunner
from app.infrastructure.schedule_book_sql import SqlScheduleBook
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_revision import revision_is_current
from app.infrastructure.step_store_sql import SqlStepStore
from app.infrastructure.step_tools import with_door
from app.infrastructure.uploads_stored import StoredUploads
from app.infrastructure.usage_meter_sql import SqlUsageMeter
from app.infrastructure.webhook_target import WebhookTarget
from app.infrastructure.worker_rq import AsyncWorker, HeadOfQueue
from app.services import Services, UploadLimits
from app.services.changes import Changes
from app.services.clock import DatabaseClock
from app.services.counts import Counts
from app.services.estimates import Estimates
from app.services.freshness import FreshnessService
from app.services.housekeeping import Housekeeping
from app.services.leases import LeaseKeeper
from app.services.notices import NoticeService
from app.services.quotas import ClientQuotas
from app.services.retention import Retention
from app.services.schedules import ScheduleService
from app.services.slots import Slots
from app.services.task_service import Ports, TaskService

__all__ = ["HeadOfQueue", "open_services", "run", "worker"]

VERSION = "0.1.0"
CLOCK_EVERY = timedelta(seconds=10)


def run(program: Coroutine[Any, Any, None]) -> None:
    """Runs a program's coroutine on the fastest loop there is; says in plain words why it cannot start."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(program)
    except CallslipError as error:
        sys.stderr.write(f"Callslip cannot start: {error}\n")
        raise SystemExit(2) from None


def prepare(settings: Settings) -> None:
    """Brings the database to the newest schema, unless it has it. Raises StoreUnavailable."""
    if not revision_is_current(settings.database_url):
        from app.infrastructure.sql_schema import migrate  # noqa: PLC0415 - brings Alembic, which most starts spare

        migrate(settings.database_url)


def worker(
    settings: Settings,
    run: Callable[[JobId], Awaitable[None]],
    take: Callable[[int, HeadOfQueue], Awaitable[Sequence[JobId]]],
    room: Callable[[int], int],
) -> AsyncWorker:
    """The worker that rings `run`, as far as there is `room`, and sweeps with `take`."""
    return AsyncWorker(
        redis_url(settings),
        settings.queue_name,
        run=run,
        take=take,
        room=room,
        concurrency=settings.worker_concurrency,
        sweep_every=settings.sweep_every,
        drain_timeout=settings.drain_timeout,
    )


@asynccontextmanager
async def open_services(settings: Settings, dashboard: Any = None) -> AsyncIterator[Services]:
    """Everything that an entry point holds, closed in reverse order. Raises Misconfigured and StoreUnavailable."""
    async with AsyncExitStack() as stack:
        if settings.auto_migrate:
            await asyncio.to_thread(prepare, settings)
        database = SqlDatabase(settings.database_url, sqlite_synchronous=settings.sqlite_synchronous)
        stack.push_async_callback(database.close)
        await asyncio.to_thread(database.check)
        builder = _Builder(settings, database, stack, dashboard)
        services = await builder.services()
        keeping_time = asyncio.create_task(_keep_time(services))
        stack.callback(keeping_time.cancel)
        stack.push_async_callback(services.tasks.close)
        yield services


class _Builder:
    """Puts one process's parts together."""

    def __init__(self, settings: Settings, database: SqlDatabase, stack: AsyncExitStack, dashboard: Any) -> None:
        self.settings, self.stack, self.database, self.dashboard = settings, stack, database, dashboard
        self.clock = DatabaseClock()
        self.log = SqlJobLogStore(database, keep_notices=settings.notify_url is not None)
        self.agenda, self.search = SqlJobAgenda(database), SqlJobSearch(database)
        self.statistics = SqlJobStatistics(database)
        self.periods = periods_of(settings)
        self.capabilities = Capabilities(_keys(settings.secret_key))
        self.files = LocalFileStore(settings.data_dir / "files", settings.min_free_disk)
        stack.callback(self.files.close)
        self.client = build_client(
            verify=settings.n8n_verify_tls,
            ca_file=settings.n8n_ca_file,
            connections=settings.worker_concurrency,
            allow_private=settings.n8n_allow_private,
        )
        stack.push_async_callback(self.client.aclose)

    async def services(self) -> Services:
        settings = self.settings
        await self.clock.measure(self.agenda)
        queue = RqJobQueue(redis_url(settings), settings.queue_name)
        self.stack.push_async_callback(queue.close)
        feed = RedisJobFeed(redis_url(settings), settings.queue_name, self.search.versions, settings.feed_every)
        await self.stack.enter_async_context(feed)
        delivered = configured_workflows(settings)
        given = tools(settings, self.stack, self.database, self.clock, StoredUploads(self.log, self.search, self.files))
        found = local_workflows(settings.workflows_dir, self.periods, taken=delivered)
        local = {name: with_door(workflow, given) for name, workflow in found.items()}
        workflows = {name: workflow for name, (workflow, _) in delivered.items()} | local
        runners: dict[str, Runner] = {name: self._runner(*found) for name, found in delivered.items()}
        ports = Ports(
            log=self.log,
            agenda=self.agenda,
            search=self.search,
            queue=queue,
            feed=feed,
            files=self.files,
            workflows=workflows,
            runners=runners,
            clock=self.clock,
        )
        runners |= self._step_runners(local.values(), ports, given)
        in_flight = {name: workflow.in_flight for name, workflow in workflows.items()}
        tasks = TaskService(
            ports,
            leases=LeaseKeeper(self.agenda, self.log, self.clock, settings.lease, settings.lease_renewal),
            slots=Slots(in_flight, settings.worker_concurrency),
            max_size=settings.max_upload_size,
            quotas=ClientQuotas(SqlUsageMeter(self.database), self.clock, quotas_of(settings)),
        )
        keep_files, keep_jobs = settings.keep_files_for or None, settings.keep_jobs_for or None
        keep_of = {name: workflow.keep_for for name, workflow in workflows.items() if workflow.keep_for is not None}
        retention = Retention(self.agenda, tasks.erase, self.clock, keep_jobs, keep_of)
        keeping = Housekeeping(self.log, self.search, self.files, self.clock, keep_files, settings.orphan_age)
        services = Services(
            tasks=tasks,
            schedules=ScheduleService(
                SqlScheduleBook(self.database), tasks.submit, workflows, CronCalendar(), self.clock
            ),
            freshness=FreshnessService(tasks, ports),
            notices=self._notices(lambda job: _as_clients_see(services, job)),
            housekeeping=keeping,
            retention=retention,
            log=self.log,
            agenda=self.agenda,
            search=self.search,
            counts=Counts(self.search, workflows, self.clock),
            statistics=self.statistics,
            estimates=Estimates(self.statistics, self.clock),
            queue=queue,
            feed=feed,
            files=self.files,
            workflows=workflows,
            capabilities=self.capabilities,
            signer=record.signer(settings),
            checkpoints=record.keeper(settings, self.database, self.clock),
            api_keys={
                name: [key.get_secret_value() for key in keys] for name, keys in settings.callslip_api_keys.items()
            },
            callback_secrets=_keys(settings.callback_secret),
            clock=self.clock,
            link_ttl=settings.link_ttl,
            public_url=settings.public_url,
            upload=_upload_limits(settings),
            database_check=self.database.ping,
            sse_heartbeat=settings.sse_heartbeat,
            dashboard=self.dashboard,
            renderers=renderers(),
            report_templates=report_templates(settings),
        )
        return services

    def _runner(self, workflow: Workflow, target: WebhookTarget) -> Runner:
        return WebhookRunner(
            target,
            workflow=workflow,
            client=self.client,
            files=self.files,
            capabilities=self.capabilities,
            public_url=self.settings.public_url,
            link_ttl=self.settings.link_ttl,
            clock=self.clock,
            version=VERSION,
        )

    def _step_runners(
        self, local: Iterable[Workflow], ports: Ports, given: Mapping[Any, object]
    ) -> Mapping[str, Runner]:
        step_ports = StepPorts(
            log=self.log,
            steps=SqlStepStore(self.database),
            feed=ports.feed,
            files=self.files,
            record=Changes(self.log, ports.feed, self.clock, ports.workflows).apply,
            off_loop=OffLoop(os.cpu_count() or 1, self.settings.workflows_dir),
        )
        return {one.name: StepRunner(one, given, step_ports, self.settings.step_retry) for one in local}

    def _notices(self, as_client_sees_it: Callable[[Job], Mapping[str, Json]]) -> NoticeService | None:
        settings = self.settings
        if settings.notify_url is None:
            return None
        notifier = WebhookNotifier(
            settings.notify_url,
            _keys(settings.notify_secret),
            client=self.client,
            job_info=as_client_sees_it,
            clock=self.clock,
            version=VERSION,
        )
        return NoticeService(SqlNoticeBox(self.database), self.log, notifier, self.clock, self.periods)


def _as_clients_see(services: Services, job: Job) -> Mapping[str, Json]:
    from app.api.v1.views import job_info  # noqa: PLC0415 - brings FastAPI, which a worker without notices spares

    return job_info(services, job).model_dump(mode="json")


def quotas_of(settings: Settings) -> Quotas:
    def quota(name: str, rate: tuple[int, timedelta] | None, unit: Unit = Unit.REQUESTS) -> Quota | None:
        return Quota(name=name, most=rate[0], window=rate[1], unit=unit) if rate else None

    most = settings.max_open_jobs
    return Quotas(
        jobs=quota("jobs", settings.quota_jobs),
        volume=quota("bytes", settings.quota_bytes, Unit.BYTES),
        unfinished=Quota(name="unfinished", most=most) if most else None,
    )


def _keys(secrets: tuple[SecretStr, ...]) -> tuple[bytes, ...]:
    return tuple(secret_bytes(secret.get_secret_value()) for secret in secrets)


def _upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        max_size=settings.max_upload_size,
        max_concurrent=settings.upload_max_concurrent,
        max_of_client=settings.quota_uploads,
        min_rate=settings.upload_min_rate,
        rate_window=settings.upload_rate_window,
        idle_timeout=settings.upload_idle_timeout,
    )


async def _keep_time(services: Services) -> None:
    """The API process does not sweep, so it measures the database's clock by itself."""
    while True:
        await asyncio.sleep(CLOCK_EVERY.total_seconds())
        with suppress(Unavailable):
            await services.clock.measure(services.agenda)
