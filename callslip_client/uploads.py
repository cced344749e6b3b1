"""What is handed in, as the bytes of a request: read from disk as they are sent, never whole in memory."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from callslip_client.errors import Misused

FileSource: TypeAlias = "str | os.PathLike[str] | bytes"
OnProgress: TypeAlias = Callable[[int, int], None]
PIECE = 256 * 1024
_UNSAFE = re.compile(r'["\r\n\\\x00-\x1f]')


class Upload:
    """A request's body that can be sent again from its start. `length` is known beforehand."""

    def __init__(
        self, content_type: str, head: bytes, file: FileSource, tail: bytes, on_progress: OnProgress | None
    ) -> None:
        self.content_type = content_type
        self._head, self._file, self._tail = head, file, tail
        self._size = len(file) if isinstance(file, bytes) else _size(Path(file))
        self._on_progress = on_progress
        self.length = len(head) + self._size + len(tail)

    def pieces(self) -> Iterator[bytes]:
        """The body from its start, none of them empty. Raises Misused when the file has become shorter meanwhile."""
        if isinstance(self._file, bytes):
            yield self._head + self._file + self._tail
            return
        yield self._head
        yield from self._file_pieces(Path(self._file))
        yield self._tail

    def told(self, sent: int) -> None:
        """Tells whoever wants to know that so many bytes were sent."""
        if self._on_progress:
            self._on_progress(sent, self.length)

    def _file_pieces(self, path: Path) -> Iterator[bytes]:
        left = self._size
        with path.open("rb") as file:
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
        if left:
            raise Misused(f"{path} became shorter while it was sent")


def form(
    workflow: str | None,
    params: Mapping[str, Any],
    file: FileSource,
    filename: str | None,
    on_progress: OnProgress | None,
) -> Upload:
    """The multipart form of a submission."""
    if filename is None:
        if isinstance(file, bytes):
            raise Misused("bytes need a filename beside them")
        filename = Path(file).name
    boundary = secrets.token_hex(16)
    texts = {**({} if workflow is None else {"workflow": workflow}), **_texts(params)}
    parts = [_part(boundary, f'name="{_escaped(name)}"') + value.encode() + b"\r\n" for name, value in texts.items()]
    disposition = f'name="file"; filename="{_escaped(filename)}"\r\nContent-Type: application/octet-stream'
    head = b"".join(parts) + _part(boundary, disposition)
    content_type = f"multipart/form-data; boundary={boundary}"
    return Upload(content_type, head, file, f"\r\n--{boundary}--\r\n".encode(), on_progress)


def document(workflow: str | None, params: Mapping[str, Any]) -> Upload:
    """A submission without a file."""
    content = {**({} if workflow is None else {"workflow": workflow}), "params": dict(params)}
    return Upload("application/json", json.dumps(content, allow_nan=False).encode(), b"", b"", None)


def _part(boundary: str, disposition: str) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    for name in params:
        if name in ("file", "workflow"):
            raise Misused(f"{name} is not a parameter: it has an argument of its own")
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in params.items()
        if value is not None
    }


def _escaped(text: str) -> str:
    """As browsers do it (WHATWG HTML, multipart/form-data); what is not Unicode is replaced."""
    clean = text.encode("utf-8", "replace").decode()
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}" if found[0] != "\\" else "_", clean)


def _size(path: Path) -> int:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Misused(f"{path} is not a file that can be handed in")
    return found.st_size
