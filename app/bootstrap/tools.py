"""What the steps of local workflows are given: an adapter for each type that they name in an annotation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from app.core.settings import Settings


def tools(settings: Settings, stack: AsyncExitStack) -> Mapping[Any, object]:  # noqa: ARG001
    """By type. What must be closed is closed by the stack."""
    return {}
