"""Makes a client's file name safe to show. It is never used as a path."""

from __future__ import annotations

import unicodedata

LONGEST = 255
# Bidirectional overrides and isolates (Unicode 15, UAX #9): they make "gpj.exe" out of "exe.jpg".
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_filename(name: str) -> str:
    """The last path part in NFC without control, bidi and unpaired surrogate characters, at most 255 characters
    (the extension survives the cut); `unnamed` when nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(
        char for char in last if char not in _BIDI and unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
    )
    kept = unicodedata.normalize("NFC", kept).strip()
    if kept in ("", ".", ".."):
        return "unnamed"
    stem, dot, extension = kept.rpartition(".")
    if len(kept) > LONGEST and stem and len(extension) <= 16:
        return stem[: LONGEST - len(extension) - 1] + dot + extension
    return kept[:LONGEST]
