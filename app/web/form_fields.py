"""A workflow's parameters as fields of a form, from their JSON Schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.workflow import Workflow

LONG_TEXT = 1000
_YES_NO = (("true", "Yes"), ("false", "No"))

Kind = Literal["text", "long", "number", "choice", "several", "lines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field. `choices` are pairs of value and label; `step` is for numbers. The last two kinds are lists: some of the
    choices, or one entry a line."""

    name: str
    label: str
    kind: Kind
    hint: str = ""
    required: bool = False
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    max_length: int | None = None
    minimum: str = ""
    maximum: str = ""
    step: str = "any"


def form_fields(workflow: Workflow) -> list[FormField]:
    """The fields in the order of their declaration."""
    return list(_fields(workflow))


def _fields(workflow: Workflow) -> Iterator[FormField]:
    properties: Any = workflow.schema.get("properties") or {}
    required: Any = workflow.schema.get("required") or ()
    for name, declared in properties.items():
        known = _plain(declared, workflow.schema)
        yield FormField(
            name=name,
            label=str(known.get("title") or name),
            kind=_kind(
                known, _items(known, workflow.schema), subject=workflow.file is None and known.get("default") is None
            ),
            hint=_hint(known),
            required=name in required,
            default=_default(known),
            choices=_choices(_items(known, workflow.schema) or known),
            max_length=known.get("maxLength"),
            minimum=_text(known.get("minimum")),
            maximum=_text(known.get("maximum")),
            step="1" if known.get("type") == "integer" else "any",
        )


def _plain(declared: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The declaration itself: behind a reference, and without the `null` of what may be left out."""
    known: Mapping[str, Any] = declared if isinstance(declared, dict) else {}
    reference = str(known.get("$ref", ""))
    if reference.startswith("#/$defs/"):
        definitions: Any = schema.get("$defs") or {}
        known = {**definitions.get(reference.removeprefix("#/$defs/"), {}), **known}
    ways = [way for way in known.get("anyOf", ()) if isinstance(way, dict) and way.get("type") != "null"]
    return {**_plain(ways[0], schema), **known} if len(ways) == 1 else known


def _items(known: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a list holds; nothing for what is no list."""
    return _plain(known.get("items"), schema) if known.get("type") == "array" else {}


def list_fields(workflow: Workflow) -> frozenset[str]:
    """The names of the parameters that are lists."""
    return frozenset(field.name for field in _fields(workflow) if field.kind in ("several", "lines"))


def _kind(known: Mapping[str, Any], items: Mapping[str, Any], *, subject: bool) -> Kind:
    if known.get("type") == "array":
        return "several" if _choices(items) else "lines"
    if _choices(known):
        return "choice"
    if known.get("type") in ("integer", "number"):
        return "number"
    # Where there is no file, a text of one's own is what the work is about.
    return "long" if subject and (known.get("maxLength") or LONG_TEXT) >= LONG_TEXT else "text"


def _choices(known: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if known.get("type") == "boolean":
        return _YES_NO
    values = known.get("enum") or ([known["const"]] if "const" in known else [])
    return tuple((str(value), str(value)) for value in values)


def _hint(known: Mapping[str, Any]) -> str:
    low, high = _text(known.get("minimum")), _text(known.get("maximum"))
    bounds = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    return ". ".join(filter(None, (str(known.get("description") or ""), bounds)))


def _default(known: Mapping[str, Any]) -> str:
    value = known.get("default")
    return "\n".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
