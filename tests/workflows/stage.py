"""A workflow's steps, run one after another as a worker would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.models import Json
from app.domain.workflow import Workflow


@dataclass
class Work:
    """What a step holds in its hands."""

    params: Mapping[str, Json]
    outputs: dict[str, Json] = field(default_factory=dict)


async def done(workflow: Workflow, params: Mapping[str, Json], *tools: object) -> Any:
    """What the last step makes; a step gets the tools if it wants more than its work."""
    work, output = Work(workflow.check(params)), None
    for step in workflow.steps:
        wanted = step.run.__code__.co_argcount - 1  # type: ignore[attr-defined]
        output = work.outputs[step.name] = await step.run(work, *tools[:wanted])
    return output
