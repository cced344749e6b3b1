"""The figures of all processes of this host, and of the jobs in the database, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app.api.auth import Ours
from app.domain.errors import Unavailable
from app.domain.protocols import JobCounts

router = APIRouter(tags=["health"])


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}, "description": "Figures"}}
)
async def metrics(services: Ours) -> Response:
    """Figures in Prometheus' text format; without those of the jobs while the database is away."""
    registry = CollectorRegistry(auto_describe=False)
    with suppress(Unavailable):
        registry.register(JobFigures(await services.counts.now(), services.clock()))
    return Response(process_figures(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def process_figures(registry: CollectorRegistry) -> bytes:
    """The text of this registry and of what processes counted: all of this host, if they share a folder for it."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        _forget_dead_processes(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(REGISTRY)


def _forget_dead_processes(folder: Path) -> None:
    """Gauges of what is in flight must not count a process that was killed."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if Path("/proc").exists() and not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, eq=False)
class JobFigures(Collector):
    """What the database says at this moment, as metrics."""

    counts: JobCounts
    now: datetime

    def collect(self) -> Iterator[Metric]:
        """Yields each metric."""
        jobs = GaugeMetricFamily("callslip_jobs", "Jobs by workflow and status.", labels=("workflow", "status"))
        for (workflow, status), number in sorted(self.counts.by_workflow.items()):
            jobs.add_metric((workflow, status.value), number)
        yield jobs
        yield GaugeMetricFamily("callslip_jobs_overdue", "Jobs whose callback should have come.", self.counts.overdue)
        yield GaugeMetricFamily(
            "callslip_oldest_due_seconds", "How late the longest due job is.", self._age(self.counts.oldest_due_at)
        )
        yield GaugeMetricFamily(
            "callslip_oldest_queued_seconds",
            "How long the longest queued job has been due.",
            self._age(self.counts.oldest_queued_at),
        )

    def _age(self, at: datetime | None) -> float:
        return 0.0 if at is None else max((self.now - at).total_seconds(), 0.0)
