"""A log-in as a signed cookie. Pure: nothing is stored; it ends with its expiry, and with the API key it was made by."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SESSION_TTL = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is logged in; `csrf` is what the forms of this session carry."""

    client: str
    csrf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Makes and reads log-ins. The first key signs, all of them verify, so keys can be rotated without a gap.

    `api_keys` maps client names to their keys: taking a key away ends its sessions.
    """

    keys: tuple[bytes, ...]
    api_keys: Mapping[str, Sequence[str]]

    def client_of(self, api_key: str) -> str | None:
        """The name of the client whose key this is. Compares with all of them, whichever fits."""
        given = api_key.encode()
        known = [(name, key) for name, keys in self.api_keys.items() for key in keys]
        found = [name for name, key in known if hmac.compare_digest(key.encode(), given)]
        return found[0] if found else None

    def begin(self, client: str, api_key: str, now: datetime) -> str:
        """The cookie's value for a client that just showed this key of its own."""
        body = f"{client}.{int((now + SESSION_TTL).timestamp())}"
        return f"{body}.{_mac(self.keys[0], api_key, body)}"

    def read(self, cookie: str, now: datetime) -> Session | None:
        """The session in a cookie, if it is ours and goes on."""
        body, _, mac = cookie.rpartition(".")
        client, _, digits = body.rpartition(".")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 12) or client not in self.api_keys:
            return None
        expected = [_mac(key, shown, body).encode() for key in self.keys for shown in self.api_keys[client]]
        matches = [hmac.compare_digest(one, mac.encode()) for one in expected]
        if not any(matches) or int(digits) < now.timestamp():
            return None
        return Session(client=client, csrf=hmac.new(self.keys[0], f"csrf|{cookie}".encode(), "sha256").hexdigest())


def _mac(key: bytes, api_key: str, body: str) -> str:
    shown = hashlib.sha256(api_key.encode()).hexdigest()
    return hmac.new(key, f"session|{body}|{shown}".encode(), "sha256").hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), expected.encode())
