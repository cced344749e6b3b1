"""What the playing service sees of a request, how it can misbehave, and the bodies it reads and writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Fault:
    """What happens instead of an answer (or, with `after`, to the first bytes of its body)."""

    status: int | None = None  # answered so; None: the connection breaks
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: int | None = None  # break behind so many bytes of the ordinary answer's body
    clean: bool = False  # end the ordinary answer's body as if that were all


def problem(status: int, detail: str, **more: Any) -> bytes:
    return json.dumps(
        {"type": "/problems/x", "title": "No", "status": status, "detail": detail, "instance": "/", **more}
    ).encode()


def form(seen: Seen) -> tuple[dict[str, str], str, bytes]:
    """The text fields, and the file's name and bytes."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + seen.headers["content-type"].encode() + b"\r\n\r\n" + seen.body
    )
    fields, filename, content = {}, "", b""
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if part.get_filename() is None:
            fields[name] = payload.decode()
        else:
            filename, content = str(part.get_filename()), payload
    return fields, filename, content
