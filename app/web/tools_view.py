"""How the outside does that local steps call, as the processes of this host counted it."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFigures:
    """One of the outside's places. `cut_off` hosts of it are left alone at the moment, the last since `cut_off_at`."""

    name: str
    calls: int
    failed: int
    cut_off: int
    cut_off_at: datetime | None


def tools() -> list[ToolFigures]:
    """Those that were called since the processes started, by name."""
    values: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for metric in _registry().collect():
        for sample in metric.samples if metric.name.startswith("callslip_tool") else ():
            known = values[sample.labels.get("tool", "")]
            name = f"{sample.name}/{sample.labels.get('outcome', '')}"
            known[name] = known.get(name, 0.0) + sample.value
    return [_figures(name, known) for name, known in sorted(values.items())]


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry(auto_describe=False)
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _figures(name: str, known: dict[str, float]) -> ToolFigures:
    calls = {
        key.rpartition("/")[2]: int(value)
        for key, value in known.items()
        if key.startswith("callslip_tool_calls_total")
    }
    at = known.get("callslip_tool_cut_off_time_seconds/", 0.0)
    return ToolFigures(
        name=name,
        calls=sum(calls.values()),
        failed=sum(number for outcome, number in calls.items() if outcome in ("trouble", "cut_off")),
        cut_off=int(known.get("callslip_tool_hosts_cut_off/", 0.0)),
        cut_off_at=datetime.fromtimestamp(at, UTC) if at else None,
    )
