"""Clients that send a byte a second, in a process of their own: what they cost is not to be taken for the product's.

`python -m chaos.drip PORT NUMBER` reads a client's Authorization header from its input, opens the connections one after the
other, and writes a line once all are open. Then, as JSON, one list for each of KINDS: the seconds until the server had closed
each, null where it never did.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic

PATIENCE = 75.0
OPENED_EVERY = 0.005  # or all of them would send their byte in the same moment of each second
KINDS = ("head", "body", "body without a key")


async def drip(port: int, authorization: str, kind: str, wait: float) -> float | None:
    """Seconds until the server had closed the connection, which is opened after so long; None when it never did."""
    await asyncio.sleep(wait)
    began = monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0.0
    key = authorization if kind == "body" else "Bearer none"
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n"
    )
    body = '\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    writer.write(head.encode() + (b"X-Slow: " if kind == "head" else body.encode()))
    closed = asyncio.create_task(_until_closed(reader))
    try:
        while not closed.done() and monotonic() - began < PATIENCE:
            writer.write(b"a")
            await writer.drain()
            await asyncio.wait([closed], timeout=1.0)
    except OSError:
        return monotonic() - began
    finally:
        writer.close()
        closed.cancel()
    return monotonic() - began if closed.done() else None


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


async def drip_all(port: int, authorization: str, number: int) -> list[list[float | None]]:
    """So many connections, of each kind in turns; what became of them, by kind."""
    kinds = [KINDS[index % len(KINDS)] for index in range(number)]
    drips = [asyncio.create_task(drip(port, authorization, kind, n * OPENED_EVERY)) for n, kind in enumerate(kinds)]
    await asyncio.sleep(number * OPENED_EVERY)
    sys.stdout.write("all are open\n")
    sys.stdout.flush()
    times = await asyncio.gather(*drips)
    return [times[index :: len(KINDS)] for index in range(len(KINDS))]


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(asyncio.run(drip_all(int(sys.argv[1]), sys.stdin.readline().strip(), int(sys.argv[2]))))
    )
