"""The order of the suite, what of it is measured for coverage, and the garbage collector's patience."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core import collector

HERE = Path(__file__).parent
# Files that start the whole product and mostly wait, the longest first, so that no process is left alone with one of
# them at the end. The others follow in their own order.
LONGEST = (
    "chaos/test_short_run.py",
    "web/test_browser.py",
    "e2e/test_under_fire.py",
    "e2e/test_local_work.py",
    "e2e/test_launch.py",
    "e2e/test_main_job.py",
    "client/test_end_to_end.py",
    "infrastructure/test_async_worker_trouble.py",
    "test_admin.py",
    "infrastructure/test_sql_writer.py",
    "contracts/test_job_feed.py",
)
PLACES = {HERE / name: place for place, name in enumerate(LONGEST)}
# Rules and use cases are covered whole by their own tests; measuring all others would take half as long again.
MEASURED = tuple(HERE / name for name in ("domain", "services", "workflows", "contracts/test_runner_steps.py"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: PLACES.get(item.path, len(PLACES)))
    for item in items:
        if not any(item.path.is_relative_to(place) for place in MEASURED):
            item.add_marker(pytest.mark.no_cover)


def pytest_collection_finish() -> None:
    collector.settle()
