"""Connections to public addresses only, for whoever does not want n8n to be on an inner network.

The rule looks at the address that is connected to, after the name was resolved and just before the connect, so a name
that resolves to another address the second time gains nothing.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import AddrInfoType

NOT_PUBLIC = "the address is not public, and N8N_ALLOW_PRIVATE=false"

# What Python's registry of special addresses leaves out or calls global, and where something inner may answer:
# protocol assignments with Oracle's metadata service, 6to4's relays, Azure's host agent, documentation.
_INSIDE = [ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")]
_UNICAST = ip_network("2000::/3")  # all that IPv6 has given out


class NotPublic(OSError):
    """Nothing was connected to: the address is not public."""

    @staticmethod
    def behind(error: BaseException | None) -> bool:
        """Whether this is why a connection was not made."""
        while error is not None and not isinstance(error, NotPublic):
            error = error.__cause__ or getattr(error, "os_error", None)
        return error is not None


def public_socket(address: AddrInfoType) -> socket.socket:
    """The socket for this address. Raises NotPublic where it is not public."""
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise NotPublic(0, NOT_PUBLIC)
    return socket.socket(family=family, type=kind, proto=protocol)


def is_public(text: str) -> bool:
    """Whether this is an address of one host on the public internet, in whichever way it is written."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address not in _UNICAST and address.ipv4_mapped is None:
            return False
        address = address.ipv4_mapped or address.sixtofour or address
    inside = any(address in network for network in _INSIDE if network.version == address.version)
    return address.is_global and not (inside or address.is_multicast or address.is_reserved)
