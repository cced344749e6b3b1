"""Receipts: what the service says about a job under its signature, and the public keys that check it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.api.auth import JobIdInPath, Ours, Reader
from app.api.openapi import PROBLEMS
from app.api.v1.schemas import Time, json_response
from app.domain.audit import canonical
from app.domain.models import JobStatus
from app.domain.signing import Scope
from app.domain.statements import base64_of, key_id, receipt

router = APIRouter(prefix="/api/v1", tags=["record"], responses=PROBLEMS)

reader = Depends(Reader(Scope.PAGE))


class Receipt(BaseModel):
    """A signed statement; `docs/audit.md` says over which bytes. What was erased is null."""

    type: str
    job_id: str
    workflow: str
    filename: str | None
    sha256: str | None
    size: int | None
    created_at: Time
    status: JobStatus
    version: int
    head: str
    issued_at: Time
    key_id: str
    public_key: str
    signature: str


class ReceiptKey(BaseModel):
    """A public key: 32 bytes in base64."""

    key_id: str
    algorithm: str
    public_key: str


class ReceiptKeys(BaseModel):
    """The public keys of this service: first the one that signs, then older ones."""

    keys: list[ReceiptKey]


@router.get("/jobs/{job_id}/receipt", response_model=Receipt, dependencies=[reader])
async def job_receipt(job_id: JobIdInPath, services: Ours) -> Response:
    """The job as it stands, signed. Opens with an API key or the token of the job's page."""
    statement = receipt(await services.log.get(job_id), services.clock(), services.signer)
    headers = {"Content-Disposition": f'attachment; filename="receipt-{job_id}.json"', "Cache-Control": "no-store"}
    return Response(canonical(statement), headers=headers, media_type="application/json")


@router.get("/receipt-key", response_model=ReceiptKeys)
async def receipt_key(services: Ours) -> Response:
    """The public keys, for anybody."""
    keys = [
        ReceiptKey(key_id=key_id(key), algorithm="Ed25519", public_key=base64_of(key)) for key in services.signer.keys
    ]
    return json_response(ReceiptKeys(keys=keys))
