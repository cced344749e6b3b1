"""The parameters of a configured workflow: what may be declared, their JSON Schema, and the check of what clients send."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import SchemaError

from app.domain.errors import FieldProblem, Invalid
from app.domain.models import Json
from app.domain.workflow import RESERVED_NAMES

LONGEST_TEXT = 10_000
Check = Callable[[Mapping[str, Json]], Mapping[str, Json]]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # all but tab and line ends
_LONGEST_NAME_SHOWN = 64


class Parameter(BaseModel):
    """One declared parameter. A form sends text only, so numbers and truth values may arrive as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    type: Literal["string", "integer", "number", "boolean"] = "string"
    required: bool = False
    title: str | None = None
    description: str | None = None
    default: Any = None
    pattern: str | None = None
    enum: list[str] | None = Field(default=None, min_length=1)
    max_length: int | None = Field(default=None, ge=1, le=LONGEST_TEXT)
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        text, number = self.type == "string", self.type in ("integer", "number")
        for key, fits in (
            ("pattern", text),
            ("enum", text),
            ("max_length", text),
            ("minimum", number),
            ("maximum", number),
        ):
            if getattr(self, key) is not None and not fits:
                raise ValueError(f"{key!r} does not go with type {self.type!r}")
        if self.required and self.default is not None:
            raise ValueError("a required parameter needs no default")
        return self

    def annotation(self) -> Any:
        """The type that checks a value."""
        if self.type == "boolean":
            return bool
        if self.type == "string":
            limit = self.max_length or LONGEST_TEXT
            kind: Any = Literal[tuple(self.enum)] if self.enum else StrictStr
            rules = Field() if self.enum else Field(min_length=1, max_length=limit, pattern=self.pattern)
            return Annotated[kind, rules, AfterValidator(_clean)]
        whole = self.type == "integer"
        bounds = Field(ge=self.minimum, le=self.maximum, allow_inf_nan=None if whole else False)
        kind = int if whole else float
        return Annotated[kind, bounds, BeforeValidator(_no_truth)]


def compiled(title: str, parameters: Mapping[str, Parameter]) -> tuple[Mapping[str, Json], Check]:
    """The JSON Schema of these parameters and the function that checks them. Raises ValueError for a declaration
    that makes no sense; its words begin with the parameter's name."""
    for name, parameter in parameters.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name}: a parameter's name is letters, digits and underscores, and begins with a letter")
        if name in RESERVED_NAMES:
            raise ValueError(f"{name}: this name is reserved for what every delivery carries")
        try:
            model = _model(title, {name: parameter})
            if parameter.default is not None:
                model.model_validate({name: parameter.default})
        except SchemaError:
            raise ValueError(f"{name}: 'pattern' is no regular expression that can be used here") from None
        except ValidationError as error:
            raise ValueError(f"{name}: the default does not fit: {error.errors()[0]['msg']}") from None
    model = _model(title, parameters)
    return _schema(model), lambda given: _checked(model, parameters, given)


def _model(title: str, parameters: Mapping[str, Parameter]) -> type[BaseModel]:
    # Aliases carry the real names: a parameter may be called `schema` or `copy` without hiding a method.
    fields: dict[str, Any] = {
        f"p{number}": (
            parameter.annotation(),
            Field(
                default=... if parameter.required else parameter.default,
                validate_default=parameter.default is not None,
                alias=name,
                title=parameter.title,
                description=parameter.description,
            ),
        )
        for number, (name, parameter) in enumerate(parameters.items())
    }
    return create_model(
        "Parameters", __config__=ConfigDict(extra="forbid", title=title, hide_input_in_errors=True), **fields
    )


def _schema(model: type[BaseModel]) -> dict[str, Json]:
    schema: dict[str, Any] = model.model_json_schema()
    for found in schema.get("properties", {}).values():
        if "default" in found and found["default"] is None:
            del found["default"]
    return schema


def _checked(
    model: type[BaseModel], parameters: Mapping[str, Parameter], given: Mapping[str, Json]
) -> Mapping[str, Json]:
    # An empty field of a form means that nothing was entered.
    entered = {
        name: value
        for name, value in given.items()
        if value not in ("", None) or name not in parameters or parameters[name].required
    }
    try:
        found: dict[str, Json] = model.model_validate(entered).model_dump(by_alias=True, exclude_none=True)
    except ValidationError as error:
        problems = tuple(_problems(error))
        raise Invalid(f"refused: {', '.join(problem.field for problem in problems[:10])}", problems) from None
    return found


def _problems(error: ValidationError) -> Iterator[FieldProblem]:
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        name = _CONTROL.sub(" ", str(found["loc"][0]))[:_LONGEST_NAME_SHOWN]
        known = {"extra_forbidden": "is not a parameter of this workflow", "missing": "is required"}
        yield FieldProblem(name, known.get(found["type"], found["msg"].removeprefix("Value error, ")))


def _clean(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is wanted")  # noqa: TRY004 - pydantic passes ValueError on as a problem
    return value
