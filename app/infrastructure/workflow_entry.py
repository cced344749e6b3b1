"""How an entry of `workflows.toml` is written, and what is said of one that is not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.core.units import parse_duration, parse_size
from app.infrastructure.workflow_parameters import Parameter

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
MEDIA_TYPE = r"^(\*/\*|[a-z0-9!#$&^_.+-]+/(\*|[a-z0-9!#$&^_.+-]+))$"
T = TypeVar("T")


def _names_a_variable(value: object) -> object:
    if not isinstance(value, str) or not VARIABLE.fullmatch(value):
        raise ValueError("must be written as ${VARIABLE}: a secret does not belong in this file")
    return value


def _read(parse: Callable[[Any], T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("must be text or a number")  # noqa: TRY004 - pydantic passes ValueError on as a problem
        return parse(value)

    return read


def _period(value: str | float) -> timedelta:
    period = parse_duration(value)
    if period <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return period


Secret = Annotated[str, BeforeValidator(_names_a_variable)]
Period = Annotated[timedelta, BeforeValidator(_read(_period))]
Size = Annotated[int, BeforeValidator(_read(parse_size)), Field(gt=0)]


class Entry(BaseModel):
    """One workflow as the file declares it; None where it says nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    url: str | None = None
    auth: Literal["header", "jwt", "none"] | None = None
    token: Secret | None = None
    secret: Secret | None = None
    delivery: Literal["multipart", "link"] | None = None
    multipart_limit: Size | None = None
    api_url: str | None = None
    api_key: Secret | None = None
    parameters: dict[str, Parameter] | None = None
    file: Literal["required", "none"] = "required"
    media_types: Annotated[list[Annotated[str, Field(pattern=MEDIA_TYPE)]], Field(min_length=1)] | None = None
    max_size: Size | None = None
    in_flight: Annotated[int, Field(ge=1, le=10_000)] | None = None
    timeout: Period | None = None
    callback_timeout: Period | None = None
    callback_deadline: Period | None = None
    dedup: list[str] | None = None
    fresh_for: Period | None = None
    subject: str | None = None
    subject_limit: Annotated[int, Field(ge=1, le=10_000)] | None = None


NOTION = Entry(
    title="Save a file to Notion",
    parameters={
        "notion_database_id": Parameter(
            title="Notion database",
            description="The id of the database that gets the page; without one, the workflow's own choice",
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]+$",
        )
    },
)


def in_words(error: ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where each problem stands inside the entry, and a sentence about it."""
    for found in error.errors(include_url=False, include_input=False):
        path = tuple(str(step) for step in found["loc"])
        message = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            keys = Parameter.model_fields if "parameters" in path else Entry.model_fields
            near = difflib.get_close_matches(path[-1], keys, n=1)
            yield path, f"unknown key '{path[-1]}'" + (f"; did you mean '{near[0]}'?" if near else "")
        elif path:
            yield path, f"'{'.'.join(path)}' {message[:1].lower()}{message[1:]}"
        else:
            yield path, "must be a table"
