"""The rules of an entry of `workflows.toml`: what makes two jobs the same, and what they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.domain import audit
from app.domain.models import Json
from app.infrastructure.workflow_entry import Entry


def rules(entry: Entry, report: Callable[[str, str], None]) -> dict[str, Any]:
    """The fields of `Workflow` that the entry's rules become; what is wrong with them is reported by key."""
    for key, message in _problems(entry, frozenset(entry.parameters or {})):
        report(key, message)
    found: dict[str, Any] = {"fresh_for": entry.fresh_for}
    if entry.dedup is not None:
        found["dedup"] = _outcome(tuple(entry.dedup))
    if entry.subject is not None:
        found["subject"] = _value(entry.subject)
    return found | ({"subject_limit": entry.subject_limit} if entry.subject_limit else {})


def _problems(entry: Entry, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name in entry.dedup or ():
        if name not in known:
            yield "dedup", f"names {name}, which is no parameter of this workflow"
    if entry.subject is not None and entry.subject not in known:
        yield "subject", f"names {entry.subject}, which is no parameter of this workflow"
    if entry.subject_limit is not None and entry.subject is None:
        yield "subject_limit", "limits jobs about one subject: say by `subject` which parameter that is"
    if entry.fresh_for is not None and entry.dedup is None:
        yield "fresh_for", "answers with an earlier result: say by `dedup` which parameters make two jobs the same"


def _outcome(names: tuple[str, ...]) -> Callable[[Mapping[str, Json]], str]:
    def outcome(params: Mapping[str, Json]) -> str:
        return audit.canonical([params.get(name) for name in names]).decode()

    return outcome


def _value(name: str) -> Callable[[Mapping[str, Json]], str | None]:
    def value(params: Mapping[str, Json]) -> str | None:
        found = params.get(name)
        return found if found is None or isinstance(found, str) else audit.canonical(found).decode()

    return value
