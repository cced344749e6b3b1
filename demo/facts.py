"""What can be said about a file by looking at it once, in pieces: its digest, its kind, and a few figures."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable
from typing import Any

HEAD = 256 * 1024  # enough for the size of an image, also behind a camera's notes
# The JPEG markers that begin a frame, and with it tell the size (ITU-T T.81, table B.1).
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Facts:
    """Takes a file's bytes and keeps figures, not the bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self._text: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._lines = self._words = self._characters = 0
        self._last = "\n"

    @property
    def sha256(self) -> str:
        """Of all bytes so far, in lower-case hex."""
        return self._digest.hexdigest()

    def feed(self, piece: bytes) -> None:
        """Takes the next bytes."""
        self.size += len(piece)
        self._digest.update(piece)
        self._head += piece[: HEAD - len(self._head)]
        if self._text is not None and b"\0" in piece:
            self._text = None
        self._read(piece, final=False)

    def result(self) -> dict[str, Any]:
        """The figures, as JSON."""
        self._read(b"", final=True)
        return {"size": self.size, "sha256": self.sha256, **self._kind()}

    def _read(self, piece: bytes, *, final: bool) -> None:
        if self._text is None:
            return
        try:
            text = self._text.decode(piece, final)
        except UnicodeDecodeError:
            self._text = None
            return
        if text:
            # A word that goes over from the piece before was counted there.
            goes_on = not self._last.isspace() and not text[0].isspace()
            self._words += len(text.split()) - goes_on
            self._characters += len(text)
            self._lines += text.count("\n")
            self._last = text[-1]

    def _kind(self) -> dict[str, Any]:
        head = bytes(self._head)
        for opening, name, measure in IMAGES:
            if head.startswith(opening) and (size := measure(head)) is not None:
                return {"kind": "image", "format": name, "width": size[0], "height": size[1]}
        if head.startswith(b"%PDF-"):
            return {"kind": "pdf", "version": head[5:8].decode("ascii", "replace")}
        if self._text is not None and self.size:
            lines = self._lines + (self._last != "\n")
            return {"kind": "text", "lines": lines, "words": self._words, "characters": self._characters}
        return {"kind": "binary", "begins_with": head[:16].hex()}


def in_words(result: dict[str, Any]) -> str:
    """One sentence for people."""
    size = f"{result['size']:,} bytes"
    match result["kind"]:
        case "image":
            return f"A {result['format']} image of {result['width']} by {result['height']} pixels, {size}"
        case "pdf":
            return f"A PDF document, version {result['version']}, {size}"
        case "text":
            return f"A text of {result['lines']:,} lines and {result['words']:,} words, {size}"
        case _:
            return f"A file of {size}"


def _png(head: bytes) -> tuple[int, int] | None:
    return _pair(head[16:24], "big") if head[12:16] == b"IHDR" and len(head) >= 24 else None


def _gif(head: bytes) -> tuple[int, int] | None:
    return _pair(head[6:10], "little") if len(head) >= 10 else None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in FRAMES:
            height, width = _pair(head[at + 5 : at + 9], "big")
            return width, height
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None


def _pair(data: bytes, order: Any) -> tuple[int, int]:
    half = len(data) // 2
    return int.from_bytes(data[:half], order), int.from_bytes(data[half:], order)


Measure = Callable[[bytes], tuple[int, int] | None]
IMAGES: tuple[tuple[bytes, str, Measure], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"GIF8", "GIF", _gif),
    (b"\xff\xd8", "JPEG", _jpeg),
)
