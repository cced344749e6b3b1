"""A callback's body: JSON or a form, in; a checked payload, out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from app.api.multipart import FormLimits, form_boundary, form_parts
from app.api.problems import field_problems
from app.api.strict_json import decode_json
from app.domain.audit import canonical
from app.domain.errors import FieldProblem, Invalid, Malformed
from app.domain.models import FilePart, JobResult, Json, Progress
from app.services.task_service import Callback

MAX_TEXT = 4000
MAX_RESULT = 256 * 1024
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,3})?", re.ASCII)
_FORM_FIELDS = 100


def _number(value: Any) -> Any:
    """Numbers may be text; an empty text, as forms send it, is nothing."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise ValueError("must be a number")
        return float(text)
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueError as the field's problem
    return value


def _text_or_number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value or None if isinstance(value, str) else value


def _web_address(value: Any) -> Any:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - as above
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and value.isprintable() and " " not in value
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be an http or https address")
    return value


def _result(value: Any) -> Any:
    if len(canonical(value)) > MAX_RESULT:
        raise ValueError(f"must be at most {MAX_RESULT} bytes of JSON")
    return value


def _error_words(value: Any) -> Any:
    """The far API's own words out of n8n's error object; text as it is."""
    if isinstance(value, dict):
        words = [value.get(key) for key in ("description", "message")]
        said = next(
            (word.strip() for word in words if isinstance(word, str) and word.strip()), "an error without words"
        )
        code = value.get("httpCode")
        value = f"{said} (HTTP {code})" if isinstance(code, str | int) and code else said
    if value is not None and not isinstance(value, str):
        raise ValueError("must be text or an error object")
    return value[:MAX_TEXT] or None if value else None


def _cut(text: str | None) -> str | None:
    """A far API's words can be endless; a result must not be lost over them."""
    return text if text is None or len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


Fraction = Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_number)]
Count = Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, BeforeValidator(_number)]
Words = Annotated[str | None, AfterValidator(_cut)]


class JobCallbackPayload(BaseModel):
    """What a workflow reports: progress, a result, or that it failed."""

    status: Literal["processing", "success", "failure"]
    progress: Fraction = None
    step: Count = None
    steps: Count = None
    message: Words = None
    result_message: Words = None
    notion_page_url: Annotated[Annotated[str, Field(max_length=2048)] | None, BeforeValidator(_web_address)] = None
    result: Annotated[Any, BeforeValidator(_result)] = None
    error: Annotated[str | dict[str, Any] | None, BeforeValidator(_error_words)] = None
    execution_id: Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(_text_or_number)] = None

    @model_validator(mode="after")
    def _steps_fit(self) -> JobCallbackPayload:
        if self.steps == 0:
            raise ValueError("steps must be at least 1")
        if self.step is not None and self.steps is not None and self.step > self.steps:
            raise ValueError("step must not be greater than steps")
        return self

    def callback(self) -> Callback:
        """The same in the words of the services."""
        return Callback(
            status=self.status,
            progress=Progress(fraction=self.progress, step=self.step, steps=self.steps, message=self.message),
            result=JobResult(message=self.result_message, notion_page_url=self.notion_page_url, data=self.result),
            error=self.error if isinstance(self.error, str) else None,
            execution_id=self.execution_id,
        )


def check_payload(fields: Mapping[str, Json]) -> JobCallbackPayload:
    """The payload in these fields; others are ignored. Raises Invalid naming every refused field."""
    try:
        return JobCallbackPayload.model_validate(fields)
    except ValidationError as error:
        found = field_problems(error.errors(include_url=False, include_input=False, include_context=False))
        problems = [
            each if each.field else FieldProblem(each.message.partition(" ")[0], each.message) for each in found
        ]
        raise Invalid("fields of the callback were refused", problems) from error


async def read_fields(content_type: str, body: bytes) -> Mapping[str, Json]:
    """The fields in a body: a form if its type says so, else JSON. Raises Malformed, TooLarge, Invalid."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _typed(_urlencoded(body))
    if kind == "multipart/form-data":
        return _typed(await _multipart(form_boundary(content_type), body))
    fields = decode_json(body)
    if not isinstance(fields, dict):
        raise Invalid("a callback is an object", [FieldProblem("", "must be an object")])
    return fields


def _urlencoded(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
    except ValueError as error:  # UnicodeDecodeError is one
        raise Malformed("the form cannot be read: it must be UTF-8 with at most 100 fields") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Malformed("the form has the same field twice")
    if "\0" in "".join(fields) or "\0" in "".join(fields.values()):
        raise Malformed("a field holds the character U+0000")
    return fields


async def _multipart(boundary: bytes, body: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    async for part in form_parts(boundary, _Once(body), FormLimits(max_parts=_FORM_FIELDS, max_field=2 * MAX_RESULT)):
        if isinstance(part, FilePart):
            raise Malformed("a callback carries no file")
        fields[part.name] = str(part.value)
    return fields


def _typed(fields: Mapping[str, str]) -> dict[str, Json]:
    """In a form everything is text: what JSON says in structures may be JSON text there."""
    typed: dict[str, Json] = dict(fields)
    for name in ("result", "error"):
        text = fields.get(name, "").strip()
        if name == "result" or text.startswith("{"):
            typed[name] = _json_or_text(text)
    return typed


def _json_or_text(text: str) -> Json:
    if not text:
        return None
    try:
        return decode_json(text.encode())
    except Malformed:
        return text


class _Once:
    """One piece of bytes in the shape of a stream."""

    def __init__(self, piece: bytes) -> None:
        self._pieces = [piece]

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()
