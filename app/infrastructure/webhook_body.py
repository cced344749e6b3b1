"""The body of a delivery: the same bytes on every attempt, because all of it is derived from the job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from app.domain.audit import canonical
from app.domain.errors import CallslipError
from app.domain.models import FileUploadInfo, Job, Json
from app.domain.protocols import StoredContent
from app.domain.signing import Capabilities, Scope


class FileDamaged(CallslipError):
    """The stored bytes are not the ones that were handed in."""


class Derived(NamedTuple):
    """The secrets of one job's deliveries. Nobody without our key can put `boundary` into a file, so nobody can forge a part."""

    callback_token: str
    file_token: str
    boundary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deriver:
    """Makes the links and tokens of a delivery: derived, never stored."""

    capabilities: Capabilities
    public_url: str
    link_ttl: timedelta

    def derived(self, job: Job) -> Derived:
        """What only our key can make of this job."""
        grant = self.capabilities.grant
        return Derived(
            callback_token=grant(Scope.CALLBACK, job.job_id),
            file_token=grant(Scope.FILE, job.job_id, job.created_at + self.link_ttl),
            boundary=grant(Scope.BOUNDARY, job.job_id),
        )

    def fields(self, job: Job, derived: Derived) -> dict[str, Json]:
        """What a workflow is told, in the contract's order, without `metadata`."""
        api = f"{self.public_url.rstrip('/')}/api/v1/jobs/{job.job_id}"
        fields: dict[str, Json] = {"job_id": str(job.job_id), "workflow": job.workflow}
        fields |= {name: job.params[name] for name in sorted(job.params)}
        if job.file is not None:
            fields |= {
                "filename": job.file.filename,
                "media_type": job.file.media_type,
                "size": job.file.size,
                "sha256": job.file.sha256,
                "file_url": f"{api}/file?token={derived.file_token}",
            }
        return fields | {"callback_url": f"{api}/callback", "callback_token": derived.callback_token}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryBody:
    """A body ready to be sent: `head`, the file if there is one, `tail`. `signed` is what the signature covers."""

    content_type: str
    signed: bytes
    head: bytes
    tail: bytes = b""
    file: FileUploadInfo | None = None
    content: StoredContent | None = None

    @property
    def length(self) -> int:
        return len(self.head) + (self.file.size if self.file else 0) + len(self.tail)

    async def batches(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Compares the file with its recorded hash on the way. The end of the body is held back until it fits, so a
        damaged file reaches nobody as a whole. Raises FileDamaged."""
        held = [self.head]
        if self.file is not None and self.content is not None:
            digest, left = hashlib.sha256(), self.file.size
            async for chunk in self.content.chunks(0, self.file.size):
                digest.update(chunk)
                left -= len(chunk)
                if left > 0:
                    yield [*held, chunk]
                    held = []
                else:
                    held.append(chunk)
            if left or digest.hexdigest() != self.file.sha256:
                raise FileDamaged("the stored file is not the one that was handed in")
        yield [*held, self.tail]


def json_body(fields: dict[str, Json]) -> DeliveryBody:
    """Everything as one JSON text, nothing attached; the signature covers all of it."""
    content = json.dumps(
        fields | {"metadata": canonical(fields).decode()}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    return DeliveryBody(content_type="application/json", signed=content, head=content)


def multipart_body(
    fields: dict[str, Json], boundary: str, file: FileUploadInfo | None, content: StoredContent | None
) -> DeliveryBody:
    """Flat text fields, then the file (RFC 7578). n8n cannot see the raw body: the signature covers `metadata`."""
    metadata = canonical(fields)
    texts = {name: _text(value) for name, value in fields.items()} | {"metadata": metadata}
    line = f"--{boundary}\r\n".encode()
    head = b"".join(
        line + f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + text + b"\r\n"
        for name, text in texts.items()
    )
    if file is not None:
        disposition = f'Content-Disposition: form-data; name="file"; filename="{_quoted(file.filename)}"\r\n'
        head += line + f"{disposition}Content-Type: {file.media_type}\r\n\r\n".encode()
    return DeliveryBody(
        content_type=f"multipart/form-data; boundary={boundary}",
        signed=metadata,
        head=head,
        tail=(b"\r\n" if file else b"") + f"--{boundary}--\r\n".encode(),
        file=file,
        content=content,
    )


def _text(value: Json) -> bytes:
    return value.encode() if isinstance(value, str) else canonical(value)


def _quoted(filename: str) -> str:
    """As browsers write it (the WHATWG's reading of RFC 7578): UTF-8 as it is, three characters escaped."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
