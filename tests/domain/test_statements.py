"""Statements under a signature, checked with another library than ours signs with."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.domain.models import Json
from app.domain.statements import RECEIPT, is_authentic, key_id, receipt
from tests.jobs import AT, accepted

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Key:
    keys = (PUBLIC,)

    def sign(self, message: bytes) -> bytes:
        return PRIVATE.sign(message)


def authentic(name: str, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, message)
    except InvalidSignature:
        return False
    return name == key_id(PUBLIC)


def test_a_receipt_says_what_is_kept_and_is_signed() -> None:
    job, line = accepted()
    said = receipt(job, AT, Key())
    assert (said["job_id"], said["sha256"], said["size"], said["head"]) == (
        str(job.job_id),
        "ab" * 32,
        102_400,
        line.hash,
    )
    assert base64.b64decode(str(said["public_key"])) == PUBLIC
    assert is_authentic(RECEIPT, said, authentic)


def test_a_receipt_of_an_erased_job_leaves_out_what_was_erased() -> None:
    job, _ = accepted()
    assert job.file is not None
    said = receipt(replace(job, file=replace(job.file, filename="", sha256="")), AT, Key())
    assert (said["filename"], said["sha256"], said["size"]) == (None, None, 102_400)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 1},
        {"head": "0" * 64},
        {"more": True},
        {"signature": "no base64"},
        {"signature": ""},
        {"key_id": "another"},
    ],
)
def test_a_statement_that_was_changed_is_not_authentic(change: dict[str, Json]) -> None:
    said = receipt(accepted()[0], AT, Key())
    assert not is_authentic(RECEIPT, {**said, **change}, authentic)
