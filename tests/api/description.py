"""Holds every answer that a test gets against the API's own description."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api.problems import Problem
from tests.api.world import World


@cache  # the same for every application, and to make it takes longer than most tests
def described() -> Described:
    """What `/openapi.json` promises."""
    return Described(World(Path()).app())


class Described:
    """What `/openapi.json` promises of this application."""

    def __init__(self, app: FastAPI) -> None:
        self._paths: dict[str, Any] = app.openapi()["paths"]
        self._models = {
            (method.lower(), route.path): route.response_model for route in _routes(app) for method in route.methods
        }
        self._patterns = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in self._paths]

    async def check(self, answer: httpx.Response) -> None:
        """The status must be described for this operation, its content type too, and the body must be what is said."""
        request = answer.request
        path = next((path for pattern, path in self._patterns if pattern.fullmatch(request.url.path)), None)
        operation = self._paths.get(path or "", {}).get(request.method.lower())
        if operation is None:
            return
        if answer.status_code == 500:
            return  # a bug, which no description foresees
        told = operation["responses"].get(str(answer.status_code))
        assert told is not None, f"{request.method} {path} answers {answer.status_code}, which is not described"
        assert "x-request-id" in answer.headers
        assert {"retry-after", "www-authenticate"} & answer.headers.keys() <= {each.lower() for each in told["headers"]}
        await self._check_content(answer, told, self._models.get((request.method.lower(), path)))

    async def _check_content(self, answer: httpx.Response, told: dict[str, Any], model: Any) -> None:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status_code in (204, 304) or kind == "text/event-stream":
            return
        assert kind in told["content"] or "*/*" in told["content"], (kind, answer.request.url)
        await answer.aread()
        if kind == "application/problem+json":
            Problem.model_validate_json(answer.content, extra="forbid")
        elif kind == "application/json" and isinstance(model, type) and issubclass(model, BaseModel):
            model.model_validate_json(answer.content, extra="forbid")


def _routes(app: FastAPI) -> list[APIRoute]:
    found, left = [], list(app.routes)
    while left:
        route = left.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        left += getattr(getattr(route, "original_router", None), "routes", [])
    return found
