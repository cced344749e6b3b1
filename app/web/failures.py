"""A refusal as a page, for people: the same status and words that the API gives to programs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.domain.errors import CallslipError, FieldProblem
from app.web import words
from app.web.gate import LoginNeeded
from app.web.rendering import page

FRAGMENT_HEADER = "callslip-fragment"
_PROGRAMS = ("/api/", "/health", "/metrics", "/rq", "/openapi.json", "/docs")
_HEADLINES = {
    401: "This is not open to you",
    403: "That was not accepted",
    404: "There is nothing here",
    409: "That came too late",
    410: "That is no longer kept",
    429: "Too much at once",
    503: "Not at the moment",
    507: "There is no room",
}

Handler: TypeAlias = Callable[[Request, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What went wrong, for people; `fields` are the refused ones, each with why."""

    status: int
    headline: str
    detail: str
    fields: tuple[FieldProblem, ...]

    def about(self, field: str) -> str:
        """Why this field was refused; nothing if it was not."""
        return "; ".join(words.sentence(each.message) for each in self.fields if each.field == field)


ShownAgain: TypeAlias = Callable[[Refusal], Response]


def show_again(request: Request, form: ShownAgain) -> None:
    """A refusal of this request is shown by `form`, inside the page where people can put it right."""
    request.state.shown_again = form


def install_failures(app: FastAPI) -> None:
    """Puts pages in front of the problems that this application answers with already."""
    app.add_exception_handler(LoginNeeded, _to_login(app.exception_handlers[CallslipError]))
    for kind in (CallslipError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _as_page(app.exception_handlers[kind]))


def _as_page(problem_handler: Handler) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        problem: Response = await problem_handler(request, error)
        if not for_people(request):
            return problem
        refusal = _refusal(problem)
        form: ShownAgain | None = getattr(request.state, "shown_again", None)
        answer = form(refusal) if form else page(request, "failure.html", problem.status_code, refusal=refusal)
        for name in ("retry-after", "allow"):
            if name in problem.headers:
                answer.headers[name] = problem.headers[name]
        return answer

    return handle


def for_people(request: Request) -> bool:
    """Whether a browser wants to show the answer."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(_PROGRAMS)


def _to_login(problem_handler: Handler) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        if FRAGMENT_HEADER in request.headers or not for_people(request):
            problem: Response = await problem_handler(request, error)
            return problem
        back = request.url.path if request.method == "GET" else "/"
        query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
        return RedirectResponse(f"/login?next={quote(back + query, safe='/')}", 303)

    return handle


def _refusal(problem: Response) -> Refusal:
    told = json.loads(bytes(problem.body))
    return Refusal(
        status=problem.status_code,
        headline=_HEADLINES.get(problem.status_code, "That did not work"),
        detail=words.sentence(str(told.get("detail", ""))),
        fields=tuple(FieldProblem(each["field"], each["message"]) for each in told.get("errors", ())),
    )
