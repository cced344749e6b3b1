"""The webhook of the demo far side. It plays what a workflow in n8n does with a delivery of Callslip.

    python -m demo.far_side

Settings from the environment: DEMO_PORT (8100), DEMO_PACE (seconds between callbacks, 0.4), DEMO_FOLDER (where open work
is remembered, `$DATA_DIR/demo`), N8N_WEBHOOK_TOKEN, N8N_WEBHOOK_SECRET, N8N_AUTH. A file whose name contains
`please-fail` is answered with a failure.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.checks import Checks, Refused
from demo.executions import Executions
from demo.facts import Facts

HOST = "127.0.0.1"
NEEDED = ("job_id", "callback_url", "callback_token")


def create_app(checks: Checks, executions: Executions) -> Starlette:
    """The far side as an ASGI application: any path is its webhook."""

    async def webhook(request: Request) -> JSONResponse:
        try:
            checks.authorization(request.headers.get("authorization"))
            delivery, facts = await _received(request, checks)
        except Refused as refused:
            return JSONResponse({"message": str(refused)}, refused.status)
        try:
            execution_id = executions.take(delivery, facts)
        except OSError as error:  # a full disk
            return JSONResponse({"message": f"not begun: {error.strerror}"}, 503)
        return JSONResponse({"message": "Workflow was started", "executionId": execution_id})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with executions.open():
            yield

    return Starlette(routes=[Route("/{path:path}", webhook, methods=["POST"])], lifespan=lifespan)


async def _received(request: Request, checks: Checks) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """What the delivery says of itself, as far as it is signed, and the facts of the attached file."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        body = await request.body()
        return _verified(request, checks, body), None
    async with request.form(max_files=1, max_fields=200) as form:
        metadata, file = form.get("metadata"), form.get("file")
        if not isinstance(metadata, str):
            raise Refused(400, "the field metadata is missing")
        delivery = _verified(request, checks, metadata.encode())
        if not isinstance(file, UploadFile):
            return delivery, None
        facts = Facts()
        while piece := await file.read(65536):
            facts.feed(piece)
        if facts.sha256 != delivery.get("sha256"):
            raise Refused(400, "the file is not the one that the metadata names")
        return delivery, facts.result()


def _verified(request: Request, checks: Checks, signed: bytes) -> Mapping[str, Any]:
    checks.signature(request.headers, signed)
    try:
        delivery = json.loads(signed)
    except ValueError:
        raise Refused(400, "the delivery is not JSON") from None
    if not isinstance(delivery, dict) or not all(isinstance(delivery.get(key), str) for key in NEEDED):
        raise Refused(400, f"the delivery lacks one of {', '.join(NEEDED)}")
    if delivery["job_id"] != request.headers.get("webhook-id"):
        raise Refused(400, "the delivery belongs to another job")
    return delivery


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    env = os.environ
    secrets = tuple(filter(None, (secret.strip() for secret in env.get("N8N_WEBHOOK_SECRET", "").split(","))))
    checks = Checks(token=env.get("N8N_WEBHOOK_TOKEN", ""), secrets=secrets, auth=env.get("N8N_AUTH", "header"))
    folder = Path(env.get("DEMO_FOLDER") or Path(env.get("DATA_DIR") or ".data") / "demo")
    executions = Executions(folder, float(env.get("DEMO_PACE", "0.4")))
    port = int(env.get("DEMO_PORT", "8100"))
    uvicorn.run(create_app(checks, executions), host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
