"""Finds a media type from content, with libmagic: the system's, or the one that comes with pylibmagic."""

from __future__ import annotations

try:
    import magic
except ImportError:  # a bare machine has no libmagic
    import magic
    import pylibmagic  # noqa: F401 - importing it makes its own copy findable

HEAD = 4096  # bytes that libmagic gets to see

_magic = magic.Magic(mime=True)


def media_type(head: bytes) -> str:
    """The media type of content that begins with `head`. Thread-safe."""
    return str(_magic.from_buffer(head))
