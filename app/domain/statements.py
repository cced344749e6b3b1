"""What the service says under its signature: receipts, and the form that all of it has. Pure.

A statement is a JSON object. Its signature (Ed25519, RFC 8032, in base64) is over a line that names its kind, then the
canonical JSON of everything in it but the signature. The keys are named by the first 16 hex digits of their SHA-256.
Whoever has the public key can check one without us: `scripts/check_receipt.py` does, and shares no code with this.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from app.domain.audit import canonical, timestamp
from app.domain.models import Job, Json
from app.domain.record_ports import Signer

RECEIPT, CHECKPOINT = "callslip receipt 1", "callslip checkpoint 1"

Authentic: TypeAlias = Callable[[str, bytes, bytes], bool]  # key id, what was signed, signature


def key_id(public_key: bytes) -> str:
    """The name of a public key (its 32 bytes)."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def base64_of(raw: bytes) -> str:
    """Bytes as statements carry them."""
    return base64.b64encode(raw).decode()


def signed_bytes(kind: str, statement: Mapping[str, Json]) -> bytes:
    """What the signature of a statement is over."""
    return f"{kind}\n".encode() + canonical({name: value for name, value in statement.items() if name != "signature"})


def signed(kind: str, statement: Mapping[str, Json], signer: Signer) -> dict[str, Json]:
    """The statement with the key's name and the signature."""
    named = {**statement, "key_id": key_id(signer.keys[0])}
    return {**named, "signature": base64_of(signer.sign(signed_bytes(kind, named)))}


def is_authentic(kind: str, statement: Mapping[str, Json], authentic: Authentic) -> bool:
    """Whether the signature fits."""
    try:
        signature = base64.b64decode(str(statement["signature"]), validate=True)
        return authentic(str(statement["key_id"]), signed_bytes(kind, statement), signature)
    except (KeyError, binascii.Error, ValueError):
        return False


def receipt(job: Job, issued_at: datetime, signer: Signer) -> dict[str, Json]:
    """That we have this job, with this content, at this point of its history. What was erased is left out."""
    file = job.file
    statement: dict[str, Json] = {
        "type": RECEIPT,
        "job_id": str(job.job_id),
        "workflow": job.workflow,
        "filename": (file.filename or None) if file else None,
        "sha256": (file.sha256 or None) if file else None,
        "size": file.size if file else None,
        "created_at": timestamp(job.created_at),
        "status": job.status.value,
        "version": job.version,
        "head": job.head,
        "issued_at": timestamp(issued_at),
        "public_key": base64_of(signer.keys[0]),
    }
    return signed(RECEIPT, statement, signer)
