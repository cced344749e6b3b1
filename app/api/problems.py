"""The only place where an error becomes a response: one table from branches of the error tree to RFC 9457 problems."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match

from app.api.rate_limit import rate_limit
from app.domain import errors
from app.domain.errors import FieldProblem

# A branch that is not here is answered as its nearest ancestor; the root is a bug.
STATUS: Mapping[type[errors.CallslipError], int] = {
    errors.CallslipError: 500,
    errors.NotFound: 404,
    errors.FileGone: 410,
    errors.Conflict: 409,
    errors.Rejected: 400,
    errors.NotAuthentic: 401,
    errors.TooLarge: 413,
    errors.TooSlow: 408,
    errors.UnsupportedMediaType: 415,
    errors.Invalid: 422,
    errors.Unavailable: 503,
    errors.OverQuota: 429,
    errors.DiskFull: 507,
    errors.Race: 409,
}


class ProblemError(BaseModel):
    """One refused field."""

    field: str
    message: str


class Problem(BaseModel):
    """An error as the client sees it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemError] | None = None


class ProblemResponse(JSONResponse):
    """A problem as a response; `Retry-After` and the like come as headers."""

    media_type = "application/problem+json"


def problem(
    path: str,
    status: int,
    detail: str,
    *,
    slug: str | None = None,
    fields: Sequence[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """The response that tells `detail` to whoever asked for `path`. Without a `slug` the type is named by the status."""
    phrase = HTTPStatus(status).phrase
    slug = slug or re.sub(r"[^a-z]+", "-", phrase.lower())
    content: dict[str, object] = {
        "type": f"/problems/{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": path,
    }
    if fields is not None:
        content["errors"] = [{"field": each.field, "message": each.message} for each in fields]
    return ProblemResponse(content, status, headers=headers)


def problem_for(path: str, error: errors.CallslipError, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """The response for an error of our own tree."""
    status = next(STATUS[branch] for branch in type(error).__mro__ if branch in STATUS)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error
    more = dict(headers or {})
    if isinstance(error, errors.Unavailable):
        more["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if isinstance(error, errors.OverQuota):
        more |= rate_limit(error.margins)
    if isinstance(error, errors.NotAuthentic):
        more.setdefault("WWW-Authenticate", "Bearer")
    fields = error.problems if isinstance(error, errors.Invalid) else None
    return problem(path, status, str(error), slug=_slug(type(error)), fields=fields, headers=more)


def field_problems(found: Sequence[ErrorDetails], skip: int = 0) -> list[FieldProblem]:
    """What pydantic found, without the values; `skip` leaves out the first steps of each place."""
    return [
        FieldProblem(".".join(str(step) for step in one["loc"][skip:]), one["msg"].removeprefix("Value error, "))
        for one in found
    ]


def _slug(error: type[errors.CallslipError]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__).lower()


async def _on_callslip_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, errors.CallslipError)  # noqa: S101 - registered for this tree only
    return problem_for(request.url.path, error)


async def _on_refused_parameters(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    fields = field_problems(error.errors(), skip=1)
    return problem(request.url.path, 422, "parameters of the request were refused", slug="invalid", fields=fields)


async def _on_http_exception(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    detail = {404: "there is nothing at this address", 405: "this address does not take this method"}
    text = detail.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(_methods(request))
    return problem(request.url.path, error.status_code, text, headers=headers)


def _methods(request: Request) -> list[str]:
    """All methods that this address takes: one address may be several routes, of which Starlette tells the first's."""
    asked = [{**request.scope, "method": method} for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")]
    routes = request.app.router.routes
    return [scope["method"] for scope in asked if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def install_problems(app: FastAPI) -> None:
    """Makes every known error of this application a problem. What nobody knows is the outermost middleware's."""
    app.add_exception_handler(errors.CallslipError, _on_callslip_error)
    app.add_exception_handler(RequestValidationError, _on_refused_parameters)
    app.add_exception_handler(HTTPException, _on_http_exception)
