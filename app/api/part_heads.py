"""What the headers of a form's part say: its name, and the file's name if it is one."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.dispositions import read_parameters
from app.domain.errors import Malformed

_PLAIN_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")
_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")


@dataclass(frozen=True, slots=True)
class PartHead:
    """A part before its content. It is a file when it has a file name, be it empty."""

    name: str
    filename: str | None


def read_part_head(headers: dict[bytes, bytes]) -> PartHead:
    """Raises Malformed for a part that has no name, or whose content is not the plain bytes."""
    try:
        value, parameters = read_parameters(headers.get(b"content-disposition", b""))
        _, content_type = read_parameters(headers.get(b"content-type", b""))
    except ValueError as error:  # UnicodeDecodeError is one
        raise Malformed("a part's headers cannot be read; names are UTF-8") from error
    name, filename = parameters.get("name"), parameters.get("filename")
    if value != b"form-data" or not name:
        raise Malformed("a part says no name in its Content-Disposition")
    if headers.get(b"content-transfer-encoding", b"").strip().lower() not in _PLAIN_ENCODINGS:
        raise Malformed("a part has a Content-Transfer-Encoding; send the bytes as they are")
    if filename is None and content_type.get("charset", "utf-8").lower() not in _UTF8:
        raise Malformed("the text of a part is not UTF-8")
    return PartHead(name, filename)
