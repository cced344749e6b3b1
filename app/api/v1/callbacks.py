"""Calling back: a workflow reports progress or a result. Authentic first, then well-formed, then known."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.auth import WRONG_CALLBACK, CallbackToken, Ours, bearer, job_id_of
from app.api.body import read_body
from app.api.openapi import CALLBACK, PROBLEMS
from app.api.quick import shortcut
from app.api.v1 import schemas, views
from app.api.v1.callback_payload import check_payload, read_fields
from app.api.v1.submissions import pace_of
from app.domain.errors import JobNotFound, NotAuthentic
from app.domain.models import JobId, Json
from app.domain.signing import Scope, webhook_is_authentic
from app.services import Services

router = APIRouter(prefix="/api/v1/jobs", tags=["callbacks"], responses=PROBLEMS)

MAX_BODY = 1024 * 1024
_SIGNATURE = ("webhook-id", "webhook-timestamp", "webhook-signature")


@router.post("/{job_id}/callback", response_model=schemas.CallbackAnswer, openapi_extra=CALLBACK)
async def callback(job_id: str, request: Request, services: Ours, token: CallbackToken) -> Response:
    """Report progress, success or failure. A repeat, or a report that comes too late, is answered `applied: false`."""
    return await _apply(request, services, job_id, token.credentials if token else None)


def _callback_as_usual(request: Request) -> Awaitable[Response] | None:
    token = bearer(request)
    return _apply(request, request.app.state.services, request.path_params["job_id"], token) if token else None


USUAL = shortcut(router, _callback_as_usual)


async def _apply(request: Request, services: Services, job_id: str, token: str | None) -> Response:
    try:
        wanted, fields = await _authentic_fields(request, services, job_id, token)
        answer = await services.tasks.callback(wanted, check_payload(fields).callback())
    except JobNotFound:
        raise NotAuthentic(WRONG_CALLBACK) from None  # existence is not told
    job = await views.job_now(services, answer.job)
    reason = {} if answer.reason is None else {"reason": answer.reason}
    return schemas.facts_response({"applied": answer.applied, **reason, "job": job})


async def _authentic_fields(
    request: Request, services: Services, path: str, token: str | None
) -> tuple[JobId, Mapping[str, Json]]:
    job_id = job_id_of(path)
    by_token = token is not None and services.capabilities.opens(token, Scope.CALLBACK, job_id, services.clock())
    signed = bool(services.callback_secrets) and all(name in request.headers for name in _SIGNATURE)
    if not by_token and not signed:
        raise NotAuthentic(WRONG_CALLBACK)
    body = await read_body(request, pace_of(services.upload), MAX_BODY)
    if not by_token and not _signature_fits(request, services, job_id, body):
        raise NotAuthentic(WRONG_CALLBACK)
    fields = await read_fields(request.headers.get("content-type", ""), body)
    _check_meant_for(job_id, fields)
    return job_id, fields


def _signature_fits(request: Request, services: Services, job_id: JobId, body: bytes) -> bool:
    message_id, seconds, signatures = (request.headers[name] for name in _SIGNATURE)
    if _is_uuid(message_id) and message_id.lower() != str(job_id):
        return False  # a message of another job, sent here
    return webhook_is_authentic(services.callback_secrets, message_id, seconds, signatures, body, services.clock())


def _check_meant_for(job_id: JobId, fields: Mapping[str, Json]) -> None:
    named = fields.get("job_id")
    if named is not None and str(named).strip().lower() != str(job_id):
        raise NotAuthentic(WRONG_CALLBACK)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
