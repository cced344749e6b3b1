"""Whole installations, started and stopped again and again. That costs a minute: `make chaos ROW=whole` runs them, or
whoever names them."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is here, unless this folder or something in it was named on the command line."""
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.invocation_params.args]
    return None if any(one == HERE or HERE in one.parents for one in named) else True
