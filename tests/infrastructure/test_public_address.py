"""Which addresses are public, and that a client that may not leave the public internet does not."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta

import pytest

from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import TroubleKind
from app.infrastructure.http_client import Bytes, build_client, exchange
from app.infrastructure.public_address import NOT_PUBLIC, is_public, public_socket
from tests.far_side import far_side, reply

INNER = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.5",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:0",
    "::10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:a00:1::",
    "2002:7f00:1::",
    "2001:0:808::",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
]
PUBLIC = [
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "::ffff:8.8.8.8",
    "2002:808:808::",
    "2606:4700::1111",
]


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_a_public_address_gets_its_socket() -> None:
    with public_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))) as made:
        assert made.family is socket.AF_INET


async def _refused(url: str) -> str:
    async with build_client(verify=True, ca_file=None, connections=2, allow_private=False) as client:
        with pytest.raises(DeliveryTrouble) as caught:
            await exchange(client, "POST", url, {}, patience=timedelta(seconds=5), payload=Bytes(content=b"secret"))
    assert caught.value.kind == TroubleKind.UNAVAILABLE
    return str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_however_it_is_written_nothing_reaches_an_inner_address(host: str) -> None:
    async with far_side() as far:
        far.will(reply(200))
        port = far.url.rpartition(":")[2]
        assert await _refused(f"http://{host}:{port}/x") == f"not reached: {NOT_PUBLIC}"
        assert far.connections == 0


async def test_a_name_that_turns_inward_after_it_was_looked_up_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the resolver says, and however often it is asked: the address itself is looked at."""
    async with far_side() as far:
        port = int(far.url.rpartition(":")[2])
        looked_up: list[str] = []

        async def rebinding(_loop: object, host: str, *_: object, **__: object) -> list[object]:
            looked_up.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", rebinding)
        assert await _refused(f"http://n8n.example:{port}/x") == f"not reached: {NOT_PUBLIC}"
        assert (looked_up, far.connections) == (["n8n.example"], 0)


async def test_by_default_an_inner_far_side_is_welcome() -> None:
    async with far_side() as far, build_client(verify=True, ca_file=None, connections=2) as client:
        answer = await exchange(client, "GET", far.url, {}, patience=timedelta(seconds=5))
    assert answer.status == 200
