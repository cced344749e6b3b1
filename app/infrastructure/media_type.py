"""Finds a media type from content, with libmagic: the system's, or the one that comes with pylibmagic."""

from __future__ import annotations

import ctypes

try:
    import magic
except ImportError:  # a bare machine has no libmagic
    import magic
    import pylibmagic  # noqa: F401 - importing it makes its own copy findable

HEAD = 4096  # bytes that libmagic gets to see

_magic = magic.Magic(mime=True)
# The same function of the same library, called without giving Python's lock away: it takes 40 us, and the event loop
# would wait longer than that for its next turn.
_from_buffer = ctypes.PyDLL(magic.libmagic._name, handle=magic.libmagic._handle).magic_buffer  # noqa: SLF001
_from_buffer.restype = ctypes.c_char_p
_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]


def media_type(head: bytes) -> str:
    """The media type of content that begins with `head`. Thread-safe."""
    found: bytes | None = _from_buffer(_magic.cookie, head, len(head))
    return found.decode() if found is not None else str(_magic.from_buffer(head))  # which knows what to say then
