"""What each step asks for beside its work, matched with what the composition root has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from app.domain.errors import Misconfigured
from app.domain.workflow import Step, Workflow

Tools = Mapping[Any, object]  # adapter by the type that a step names: a Protocol, or a mapping of them


def tools_of(workflow: Workflow, tools: Tools) -> dict[str, dict[str, object]]:
    """For each step by name, the adapters that it is called with. Raises Misconfigured, naming all that is missing."""
    problems: list[str] = []
    found = {step.name: _matched(step, tools, f"workflow {workflow.name}, step {step.name}", problems)
             for step in workflow.steps}  # fmt: skip
    if problems:
        raise Misconfigured(problems)
    return found


def _matched(step: Step, tools: Tools, where: str, problems: list[str]) -> dict[str, object]:
    if not inspect.iscoroutinefunction(step.run):
        problems.append(f"{where}: must be an `async def`; what computes for long goes through `work.off_loop`")
        return {}
    try:
        hints = get_type_hints(step.run)
    except NameError as error:
        problems.append(f"{where}: an annotation cannot be read: {error}")
        return {}
    matched: dict[str, object] = {}
    for name in [*inspect.signature(step.run).parameters][1:]:
        if name not in hints:
            problems.append(f"{where}: the parameter {name} has no annotation, so nobody knows what to give it")
        elif hints[name] not in tools:
            kind = getattr(hints[name], "__name__", hints[name])
            problems.append(f"{where}: nothing here is a {kind}; bind one in app/bootstrap/tools.py")
        else:
            matched[name] = tools[hints[name]]
    return matched
