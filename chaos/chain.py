"""The hash chain checked by other hands than the product's: written from the format's description alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chaos.evidence import Line, Row

COMPARED = ("attempt", "lost_leases", "size", "sha256", "result_message")


def wrong(row: Row, lines: Iterable[Line]) -> Iterator[str]:
    """Everything that does not fit: line to line, detail to line, and the folded lines to the row."""
    head, version, status = hashlib.sha256(f"job:{row.job_id}".encode()).hexdigest(), 0, None
    folded: dict[str, Any] = {}
    for line in lines:
        version += 1
        if line.version != version:
            yield f"version {line.version} stands where {version} belongs"
            return
        if line.prev_hash != head or line.before != status or line.hash != _hash(line):
            yield f"version {version} does not continue the chain"
        if row.salt and line.commitment and line.commitment != _commitment(row.salt, version, line.detail):
            yield f"the detail of version {version} is not the one that was committed to"
        head, status = line.hash, line.after
        folded |= {**line.facts, **(line.detail or {})}
    yield from _row(row, version, head, status, folded)


def _row(row: Row, version: int, head: str, status: str | None, folded: Mapping[str, Any]) -> Iterator[str]:
    if (row.version, row.head, row.status) != (version, head, status):
        yield f"the row is {row.status} at version {row.version}, the lines end {status} at {version}"
    for name in COMPARED if row.salt else ():
        if getattr(row, name) != folded.get(name):
            yield f"{name} of the row is not what the lines say"


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _hash(line: Line) -> str:
    body = {
        "job_id": line.job_id,
        "version": line.version,
        "at": line.at,
        "type": line.type,
        "before": line.before,
        "after": line.after,
        "facts": dict(line.facts),
        "commitment": line.commitment,
    }
    return hashlib.sha256(b"\x00" + bytes.fromhex(line.prev_hash) + _canonical(body)).hexdigest()


def _commitment(salt: str, version: int, detail: Mapping[str, Any] | None) -> str:
    content = b"" if detail is None else _canonical(dict(detail))
    return hashlib.sha256(b"\x01" + bytes.fromhex(salt) + version.to_bytes(8, "big") + content).hexdigest()
