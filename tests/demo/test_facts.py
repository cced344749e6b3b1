"""What the demo finds out about a file."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from demo.facts import Facts, in_words

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02"
GIF = b"GIF89a\x80\x02\xe0\x01"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + bytes(9) + b"\xff\xc0\x00\x11\x08\x01\xe0\x02\x80\x03"


def facts_of(data: bytes, piece: int) -> dict[str, Any]:
    facts = Facts()
    for at in range(0, len(data), piece):
        facts.feed(data[at : at + piece])
    return facts.result()


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize(
    ("data", "found", "words"),
    [
        (
            PNG,
            {"kind": "image", "format": "PNG", "width": 640, "height": 480},
            "A PNG image of 640 by 480 pixels, 26 bytes",
        ),
        (
            GIF,
            {"kind": "image", "format": "GIF", "width": 640, "height": 480},
            "A GIF image of 640 by 480 pixels, 10 bytes",
        ),
        (
            JPEG,
            {"kind": "image", "format": "JPEG", "width": 640, "height": 480},
            "A JPEG image of 640 by 480 pixels, 30 bytes",
        ),
        (b"%PDF-1.7\n%\xff\xff", {"kind": "pdf", "version": "1.7"}, "A PDF document, version 1.7, 12 bytes"),
        (
            "eins zwei\ndrei  vier ü\n\nEnde".encode(),
            {"kind": "text", "lines": 4, "words": 6, "characters": 28},
            "A text of 4 lines and 6 words, 29 bytes",
        ),
        (b"one\n", {"kind": "text", "lines": 1, "words": 1, "characters": 4}, "A text of 1 lines and 1 words, 4 bytes"),
        (b"\xff\xfe\x00", {"kind": "binary", "begins_with": "fffe00"}, "A file of 3 bytes"),
        (b"cut \xc3", {"kind": "binary", "begins_with": "63757420c3"}, "A file of 5 bytes"),
        (b"\xff\xd8\xff", {"kind": "binary", "begins_with": "ffd8ff"}, "A file of 3 bytes"),
    ],
)
def test_a_file_is_known_by_its_content_however_it_comes(
    data: bytes, piece: int, found: dict[str, Any], words: str
) -> None:
    result = facts_of(data, piece)
    assert result == {"size": len(data), "sha256": sha256(data).hexdigest()} | found
    assert in_words(result) == words
