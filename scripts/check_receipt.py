#!/usr/bin/env python3
# ruff: noqa: T201 - it speaks by printing
"""Checks a receipt of Callslip without Callslip: this one file, Python 3.11 and the package `cryptography`.

    python check_receipt.py receipt.json --key KEY [--file FILE] [--history history.json]

KEY is the service's public key in base64, or a file as `/api/v1/receipt-key` answers it; have it from the service's owner
by a way that you trust. Exit status 0: everything fits; 1: something does not; 2: it cannot be told.

What is checked, and from what it could be written again:
- The signature is Ed25519 over the line "callslip receipt 1" and the receipt without its `signature`, as JSON with sorted
  keys, no spaces, UTF-8. The key's name is the first 16 hex digits of the SHA-256 of its 32 bytes.
- FILE has the receipt's size and SHA-256.
- The history (`/api/v1/jobs/ID/history`) is a chain of hashes that begins with the job's id and passes through the
  receipt's `head` at its `version`: every line up to there is as it was when the receipt was signed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KIND = "callslip receipt 1"


def canonical(value: Any) -> bytes:
    """The one form of a JSON value that is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def keys_in(text: str) -> list[bytes]:
    """The public keys that somebody names: in base64, or a file with the service's answer."""
    if Path(text).is_file():
        return [base64.b64decode(key["public_key"]) for key in json.loads(Path(text).read_bytes())["keys"]]
    return [base64.b64decode(text, validate=True)]


def signature_problems(receipt: dict[str, Any], keys: list[bytes]) -> Iterator[str]:
    """Why the receipt is not by one of these keys."""
    body = canonical({name: value for name, value in receipt.items() if name != "signature"})
    named = [key for key in keys if hashlib.sha256(key).hexdigest()[:16] == receipt.get("key_id")]
    if receipt.get("type") != KIND:
        yield f"this is no receipt of the kind {KIND!r}"
    elif not named:
        yield f"the receipt is signed by the key {receipt.get('key_id')}, which is not the one that was given"
    else:
        try:
            signature = base64.b64decode(str(receipt.get("signature")), validate=True)
            Ed25519PublicKey.from_public_bytes(named[0]).verify(signature, KIND.encode() + b"\n" + body)
        except (InvalidSignature, ValueError):
            yield "the signature does not fit: the receipt was changed, or is not by this key"


def file_problems(receipt: dict[str, Any], path: Path) -> Iterator[str]:
    """Why the file is not the one in the receipt."""
    if receipt["sha256"] is None:
        yield "the receipt names no file: the job had none, or it was erased"
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if (digest, path.stat().st_size) != (receipt["sha256"], receipt["size"]):
        yield f"{path} is not the file that was handed in: its SHA-256 is {digest}"


def history_problems(receipt: dict[str, Any], events: list[dict[str, Any]]) -> Iterator[str]:
    """Why the history is not the one that the receipt was signed over."""
    head = hashlib.sha256(f"job:{receipt['job_id']}".encode()).hexdigest()
    heads = [head]
    for version, event in enumerate(events, 1):
        body: dict[str, Any] = {name: event[name] for name in ("at", "type", "before", "after", "facts", "commitment")}
        body |= {"job_id": receipt["job_id"], "version": version}
        digest = hashlib.sha256(b"\0" + bytes.fromhex(head) + canonical(body)).hexdigest()
        if (event["version"], event["prev_hash"], event["hash"]) != (version, head, digest):
            yield f"version {event['version']} of the history does not continue the chain"
            return
        head = digest
        heads.append(head)
    if receipt["version"] >= len(heads):
        yield f"the history ends at version {len(events)}, the receipt was signed at version {receipt['version']}"
    elif heads[receipt["version"]] != receipt["head"]:
        yield f"version {receipt['version']} of the history is not the one that the receipt was signed over"


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Checks a receipt of Callslip, without Callslip.")
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--key", required=True, help="the public key in base64, or a file of /api/v1/receipt-key")
    parser.add_argument("--file", type=Path, help="the file that was handed in")
    parser.add_argument("--history", type=Path, help="the answer of /api/v1/jobs/ID/history")
    options = parser.parse_args()
    try:
        receipt = json.loads(options.receipt.read_bytes())
        problems = list(signature_problems(receipt, keys_in(options.key)))
        if not problems and options.file:
            problems += file_problems(receipt, options.file)
        if not problems and options.history:
            problems += history_problems(receipt, json.loads(options.history.read_bytes())["events"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"it cannot be told: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"WRONG  {problem}")
    if not problems:
        print(f"genuine: job {receipt['job_id']} was {receipt['status']} at version {receipt['version']}")
        file = f"SHA-256 {receipt['sha256']}, {receipt['size']} bytes" if receipt["sha256"] else "it names no file"
        print(f"         {file}, handed in {receipt['created_at']}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
