"""How a local workflow is declared: its parameters as a pydantic model or a dataclass, its steps as async functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from app.domain.errors import FieldProblem, Invalid
from app.domain.models import Json
from app.domain.workflow import HARD_LIMIT, SOFT_LIMIT, Step, Workflow

_TAKEN = frozenset({"workflow", "file"})
_IN_FLIGHT = 2  # local work costs this machine more than waiting for another does
_LONGEST_NAME = 64


def step(
    title: str,
    run: Callable[..., Awaitable[Json]],
    *,
    name: str | None = None,
    weight: float = 1.0,
    soft_limit: timedelta = SOFT_LIMIT,
    hard_limit: timedelta = HARD_LIMIT,
) -> Step:
    """One step; later ones find what it returns under its name, which is the function's unless told otherwise."""
    known = name or str(getattr(run, "__name__", title))
    return Step(name=known, title=title, run=run, weight=weight, soft_limit=soft_limit, hard_limit=hard_limit)


def local_workflow(name: str, title: str, params: type[Any], steps: Sequence[Step], **more: Any) -> Workflow:
    """A workflow whose parameters are the fields of `params`. `more` are further fields of `Workflow`."""
    adapter: TypeAdapter[Any] = TypeAdapter(params)
    schema = adapter.json_schema()
    names = [one.name for one in steps]
    if not steps or len(set(names)) < len(names):
        raise ValueError(f"{name}: a workflow has at least one step, and no two of one name")
    if taken := _TAKEN & schema.get("properties", {}).keys():
        raise ValueError(f"{name}: a parameter cannot be called {' or '.join(sorted(taken))}")

    def check(given: Mapping[str, Json]) -> Mapping[str, Json]:
        return _checked(adapter, schema, given)

    declared = {"in_flight": _IN_FLIGHT} | more
    return Workflow(name=name, title=title, schema=schema, check=check, steps=tuple(steps), **declared)


def _checked(adapter: TypeAdapter[Any], schema: Mapping[str, Any], given: Mapping[str, Json]) -> Mapping[str, Json]:
    known, required = schema.get("properties", {}), schema.get("required", ())
    # An empty field of a form means that nothing was entered.
    entered = {name: value for name, value in given.items() if value not in ("", None) or name in required}
    problems = [
        FieldProblem(name[:_LONGEST_NAME], "is not a parameter of this workflow") for name in given if name not in known
    ]
    try:
        found = adapter.validate_python({name: value for name, value in entered.items() if name in known})
        if not problems:
            return cast("Mapping[str, Json]", adapter.dump_python(found, mode="json"))
    except ValidationError as error:
        problems += [_problem(one) for one in error.errors(include_url=False, include_input=False)]
    raise Invalid(f"refused: {', '.join(problem.field for problem in problems[:10])}", problems)


def _problem(found: ErrorDetails) -> FieldProblem:
    field = ".".join(str(part) for part in found["loc"])[:_LONGEST_NAME]
    missing = found["type"] in ("missing", "missing_argument")
    return FieldProblem(field, "is required" if missing else found["msg"].removeprefix("Value error, "))
