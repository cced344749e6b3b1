"""Multipart bodies as clients write them, and ways to cut them into chunks."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Sequence

BOUNDARY = b"callslip-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def part(name: str, value: bytes, filename: str | None = None, *, headers: bytes = b"") -> bytes:
    """One part with its delimiter in front."""
    disposition = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    return b"--%b\r\nContent-Disposition: %b\r\n%b\r\n%b\r\n" % (BOUNDARY, disposition.encode(), headers, value)


def form(*parts: bytes) -> bytes:
    """The parts and the end."""
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def cut(body: bytes, at: Iterable[int]) -> list[bytes]:
    """The body in pieces, cut at these places."""
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in at)})
    return [body[start:stop] for start, stop in itertools.pairwise(places)]


async def arriving(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    """The pieces as a stream."""
    for piece in pieces:
        yield piece
