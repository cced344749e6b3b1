"""The order of the suite: what takes longest begins first, so that no process is left alone with it at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Files that start the whole product and mostly wait, the longest first. The others follow in their own order.
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: PLACES.get(item.path, len(PLACES)))
