"""`/docs`: the API's own description as a page. Made once a process from `/openapi.json`, with nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from app.web.gate import Visitor
from app.web.rendering import page

router = APIRouter(include_in_schema=False)

Members = Mapping[str, Any]
UNSAID = "Successful Response"  # what FastAPI says where nothing was
_KEYS = {
    "apiKey": "an API key",
    "linkToken": "the link's token",
    "callbackToken": "the job's callback token",
    "webhookSignature": "a Standard Webhooks signature",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One parameter, or one member of a JSON object."""

    name: str
    kind: str
    where: str
    required: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One status that an operation answers with."""

    status: str
    phrase: str
    text: str
    kinds: tuple[str, ...]
    headers: tuple[str, ...]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address. `bodies` are content types with the name of what they hold and an example."""

    name: str
    method: str
    path: str
    title: str
    text: str
    keys: str
    parameters: list[Member]
    bodies: list[tuple[str, list[Member], str]]
    answers: list[Answer]


@router.get("/docs")
async def reference(request: Request, visitor: Visitor) -> Response:
    """The whole description on one page; it holds no secret and is open as the description is."""
    app: FastAPI = request.app
    known: list[tuple[str, list[Operation]]] | None = getattr(app.state, "reference", None)
    if known is None:
        known = app.state.reference = groups(app.openapi())
    return page(request, "reference.html", visitor=visitor, groups=known, title=app.title, version=app.version)


def groups(description: Members) -> list[tuple[str, list[Operation]]]:
    """The operations by their tag, in the order of the description."""
    found: dict[str, list[Operation]] = {}
    for path, item in description["paths"].items():
        for method, operation in item.items():
            tag = next(iter(operation.get("tags", ())), "more")
            found.setdefault(tag, []).append(_operation(method, path, operation, description))
    return list(found.items())


def _operation(method: str, path: str, told: Members, description: Members) -> Operation:
    schemas = description["components"]["schemas"]
    secured = [_KEYS.get(name, name) for way in told.get("security", ()) for name in way]
    first, _, rest = str(told.get("description", "")).partition(". ")
    return Operation(
        name=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        title=first.rstrip("."),
        text=rest,
        keys=" or ".join(secured) or "nothing: it is open",
        parameters=[
            Member(
                name=each["name"],
                kind=_kind(each.get("schema", {})),
                where=each["in"],
                required=bool(each.get("required")),
                text=str(each.get("description", "")),
            )
            for each in told.get("parameters", ())
        ],
        bodies=[
            (kind, list(_members(body["schema"], schemas)), _example(body, schemas))
            for kind, body in told.get("requestBody", {}).get("content", {}).items()
        ],
        answers=[_answer(status, each, schemas) for status, each in told["responses"].items() if status != "default"],
    )


def _answer(status: str, told: Members, schemas: Members) -> Answer:
    content: Members = told.get("content", {})
    example = next((text for text in (_example(body, schemas) for body in content.values()) if text), "")
    return Answer(
        status=status,
        phrase=HTTPStatus(int(status)).phrase,
        text="" if told.get("description") == UNSAID else str(told.get("description", "")),
        kinds=tuple(content),
        headers=tuple(name for name in told.get("headers", {}) if name != "X-Request-ID"),
        example=example,
    )


def _example(body: Members, schemas: Members) -> str:
    found = body.get("example")
    if found is None:
        found = next(iter(_resolved(body.get("schema", {}), schemas).get("examples", ())), None)
    return "" if found is None else found if isinstance(found, str) else json.dumps(found, indent=2, ensure_ascii=False)


def _members(schema: Members, schemas: Members) -> Iterator[Member]:
    whole = _resolved(schema, schemas)
    for name, member in whole.get("properties", {}).items():
        yield Member(
            name=name,
            kind=_kind(member),
            where="",
            required=name in whole.get("required", ()),
            text=str(member.get("description", "")),
        )


def _resolved(schema: Members, schemas: Members) -> Members:
    reference = str(schema.get("$ref", ""))
    found: Members = schemas.get(reference.rpartition("/")[2], schema) if reference else schema
    return found


def _kind(schema: Members) -> str:
    """`text`, `integer from 1 to 200`, `queued | processing | …`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("format") == "binary" or "contentMediaType" in schema:
        return "file"
    kind = {"string": "text", "null": "null"}.get(schema.get("type", "any"), str(schema.get("type", "any")))
    low, high = schema.get("minimum"), schema.get("maximum")
    return kind + (f" from {low}" if low is not None else "") + (f" to {high}" if high is not None else "")
