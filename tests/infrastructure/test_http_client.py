"""Sending one request: whose fault a broken one is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import TroubleKind
from app.infrastructure.http_client import build_client, exchange
from tests.far_side import Call, far_side

PIECE = bytes(65_536)


@dataclass
class Pieces:
    """A body whose maker gives the loop a turn after each piece, and fails where it is told to."""

    count: int = 100
    fails_at: int = 100
    content_type: str = "application/octet-stream"

    @property
    def length(self) -> int:
        return self.count * len(PIECE)

    async def batches(self) -> AsyncGenerator[Sequence[bytes], None]:
        for number in range(self.count):
            if number == self.fails_at:
                raise ValueError("cannot be made")
            yield (PIECE,)
            await asyncio.sleep(0)


async def _sent(payload: Pieces, *, abort: bool) -> None:
    async def rude(call: Call) -> None:
        await call.read_body(1000)
        if abort:
            call.abort()
        await call.read_body()

    async with far_side() as far:
        far.will(rude)
        client = build_client(verify=True, ca_file=None, connections=1)
        try:
            await exchange(client, "POST", far.url, {}, patience=timedelta(seconds=5), payload=payload)
        finally:
            await client.aclose()


async def test_a_connection_that_broke_before_the_next_piece_is_trouble_and_no_fault_of_the_bodys() -> None:
    with pytest.raises(DeliveryTrouble) as raised:
        await _sent(Pieces(), abort=True)
    assert raised.value.kind is TroubleKind.UNAVAILABLE


async def test_a_body_that_cannot_be_made_says_so_itself() -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        await _sent(Pieces(fails_at=3), abort=False)
