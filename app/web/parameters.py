"""A job's parameters for people: under the titles that the workflow gives them, in its order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.models import Json
from app.domain.workflow import Workflow


def told(workflow: Workflow | None, params: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Titles with values in words; what was left empty is left out."""
    named = ((_title(workflow, name), _words(value)) for name, value in _in_order(workflow, params))
    return [(title, words) for title, words in named if words]


def about(workflow: Workflow | None, params: Mapping[str, Json]) -> str:
    """What the work is about: the first text among them; nothing where there is none."""
    return next((value for _, value in _in_order(workflow, params) if isinstance(value, str) and value.strip()), "")


def _in_order(workflow: Workflow | None, params: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    declared = _properties(workflow)
    yield from ((name, params[name]) for name in declared if name in params)
    yield from ((name, value) for name, value in params.items() if name not in declared)


def _title(workflow: Workflow | None, name: str) -> str:
    known = _properties(workflow).get(name)
    return str(known.get("title") or name) if isinstance(known, dict) else name


def _properties(workflow: Workflow | None) -> Mapping[str, Any]:
    declared: Any = workflow.schema.get("properties") if workflow else None
    return declared or {}


def _words(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(filter(None, map(_words, value)))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items())
    return "" if value is None else str(value)
