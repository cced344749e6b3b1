"""What steps and doors ask for beside their first argument, matched with what the composition root has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_type_hints

from app.domain.errors import Misconfigured
from app.domain.models import Json
from app.domain.workflow import Workflow

Tools = Mapping[Any, object]  # adapter by the type that a step names: a Protocol, or a mapping of them


def tools_of(workflow: Workflow, tools: Tools) -> dict[str, dict[str, object]]:
    """For each step by name, the adapters that it is called with. Raises Misconfigured, naming all that is missing."""
    problems: list[str] = []
    found: dict[str, dict[str, object]] = {}
    for step in workflow.steps:
        where = f"workflow {workflow.name}, step {step.name}"
        if not inspect.iscoroutinefunction(step.run):
            problems.append(f"{where}: must be an `async def`; what computes for long goes through `work.off_loop`")
        else:
            found[step.name] = _matched(step.run, tools, where, problems)
    if problems:
        raise Misconfigured(problems)
    return found


def with_door(workflow: Workflow, tools: Tools) -> Workflow:
    """The workflow, whose `check` asks its door too. Raises Misconfigured as `tools_of` does."""
    check, door = workflow.check, workflow.door
    if door is None:
        return workflow
    problems: list[str] = []
    given = _matched(door, tools, f"workflow {workflow.name}, door", problems)
    if problems:
        raise Misconfigured(problems)

    def asked(params: Mapping[str, Json]) -> Mapping[str, Json]:
        accepted = check(params)
        door(accepted, **given)
        return accepted

    return replace(workflow, check=asked, door=None)


def _matched(run: Callable[..., object], tools: Tools, where: str, problems: list[str]) -> dict[str, object]:
    try:
        hints = get_type_hints(run)
    except NameError as error:
        problems.append(f"{where}: an annotation cannot be read: {error}")
        return {}
    matched: dict[str, object] = {}
    for name in [*inspect.signature(run).parameters][1:]:
        if name not in hints:
            problems.append(f"{where}: the parameter {name} has no annotation, so nobody knows what to give it")
        elif hints[name] not in tools:
            kind = getattr(hints[name], "__name__", hints[name])
            problems.append(f"{where}: nothing here is a {kind}; bind one in app/bootstrap/tools.py")
        else:
            matched[name] = tools[hints[name]]
    return matched
