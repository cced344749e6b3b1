"""A far side that answers with all that it was sent, as some do while they are being set up: workflow, n8n, GitHub,
language model, search engine and receiver of notices, in the row's own process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import web

SPELLINGS: Sequence[Callable[[str], str]] = (
    str,
    lambda text: json.dumps(text)[1:-1],
    lambda text: quote(text, safe=""),
)
ANSWERS = {"taken": 200, "wrong": 400, "refused": 401, "unknown": 404, "broken": 500, "busy": 503}


class Echo:
    """`deliveries` are the metadata of what came as a webhook, by job; `asked` counts calls by the path's first part."""

    def __init__(self) -> None:
        self.deliveries: dict[str, Mapping[str, Any]] = {}
        self.asked: dict[str, int] = {}
        self._executions: dict[str, str] = {}  # to the callback token of each
        self._spelling = itertools.cycle(SPELLINGS)
        self._runner: web.AppRunner | None = None

    async def serve(self, port: int) -> None:
        """From now on it answers."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def close(self) -> None:
        """Ends it."""
        if self._runner:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        first = request.path.split("/")[1]
        self.asked[first] = number = self.asked.get(first, 0) + 1
        spelled = next(self._spelling)
        lines = [
            f"{request.method} {request.path_qs}",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        said = spelled("\n".join(lines)) + "\n" + spelled(body.decode("utf-8", "replace"))
        if first == "hook":
            return self._delivered(body, said)
        if first == "api":  # n8n, asked about an execution that went wrong
            token = self._executions.get(request.path.split("/")[4], "")
            error = {"message": spelled("\n".join(lines[-6:])), "description": spelled(token) + said}
            return web.json_response({"status": "error", "data": {"resultData": {"error": error}}})
        return web.Response(status=(500, 401, 400)[number % 3], text=said, reason="as you sent it")

    def _delivered(self, body: bytes, said: str) -> web.Response:
        metadata = _metadata(body)
        self.deliveries[str(metadata["job_id"])] = metadata
        manner = str(metadata.get("manner", "taken"))
        if manner == "taken":
            execution = f"x{len(self.deliveries)}"
            self._executions[execution] = str(metadata["callback_token"])
            return web.json_response({"executionId": execution, "said": said})
        return web.Response(status=ANSWERS[manner], text=said)


def _metadata(body: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(body if body.startswith(b"{") else _field(body))
    return found


def _field(body: bytes) -> bytes:
    boundary = body.partition(b"\r\n")[0]
    return body.partition(b'name="metadata"\r\n\r\n')[2].partition(b"\r\n" + boundary)[0]
