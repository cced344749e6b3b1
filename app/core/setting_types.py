"""The kinds of values that settings take, each with the sentence that refuses a wrong one. No message shows a value."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.core.units import parse_count, parse_duration, parse_rate, parse_size

HOW_TO_MAKE_ONE = 'make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'

_CLIENT_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_SENDABLE = re.compile(
    r"[!#-&(-+\--~]+"
)  # printable ASCII without space, quotes and comma: fits a header and a .env line
_SIGNING = re.compile(r"[ !#-&(-+\--~]+")  # the same with spaces: it only signs, and is never sent


def secrets_of(shortest: int, *, only_sign: bool = False) -> Callable[[object], object]:
    """A validator for a comma-separated list of secrets of at least `shortest` characters each.

    Those that `only_sign` may be sentences.
    """
    form = _SIGNING if only_sign else _SENDABLE

    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(SecretStr(_strong(secret.strip(), shortest, form)) for secret in value.split(","))

    return parse


def secret_of(shortest: int) -> Callable[[object], object]:
    """A validator for one secret of at least `shortest` characters."""

    def parse(value: object) -> object:
        return SecretStr(_strong(value.strip(), shortest)) if isinstance(value, str) else value

    return parse


def named_keys(value: object) -> object:
    """`name:key,...` with unlike keys; a name that comes twice has two, while one takes over from the other."""
    if not isinstance(value, str):
        return value
    keys: dict[str, tuple[SecretStr, ...]] = {}
    for entry in value.split(","):
        name, colon, key = entry.strip().partition(":")
        if not colon or not _CLIENT_NAME.fullmatch(name):
            raise ValueError(f"must be name:key pairs with commas between, such as me:<key>; {HOW_TO_MAKE_ONE}")
        secret = SecretStr(_strong(key, 24))
        if any(secret in known for known in keys.values()):
            raise ValueError(f"has the key of {name} twice")
        keys[name] = (*keys.get(name, ()), secret)
    return keys


def _strong(secret: str, shortest: int, form: re.Pattern[str] = _SENDABLE) -> str:
    if not form.fullmatch(secret):
        without = "quotes and commas" if form is _SIGNING else "spaces, quotes and commas"
        raise ValueError(f"must be printable ASCII without {without} inside; {HOW_TO_MAKE_ONE}")
    text = _unwrapped(secret)
    if len(text) < shortest:
        raise ValueError(f"must have at least {shortest} characters; {HOW_TO_MAKE_ONE}")
    return secret


def _unwrapped(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("begins with whsec_ but is not base64 behind it") from None


def http_url(value: object) -> object:
    """An absolute http or https address without user, password or fragment; a slash at the end is dropped."""
    if not isinstance(value, str):
        return value
    parts = _split(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("must not carry a user, a password or a fragment: secrets have settings of their own")
    return value.rstrip("/")


def redis_url(value: object) -> object:
    """What redis-py can connect to."""
    if isinstance(value, str) and _split(value).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def database_url(value: object) -> object:
    """SQLite in a file, or PostgreSQL."""
    if not isinstance(value, str):
        return value
    scheme, _, rest = value.partition("://")
    if scheme not in {"sqlite", "postgresql", "postgresql+psycopg"}:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if scheme == "sqlite" and (not rest.startswith("/") or rest in {"/", "/:memory:"} or "mode=memory" in rest):
        raise ValueError("must name a file: a database in memory survives nothing and cannot be shared with the worker")
    return value


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        raise ValueError("is not an address") from None
    return parts


def durable(value: object) -> object:
    """Refuses what loses acknowledged work in a power cut."""
    word = value.upper() if isinstance(value, str) else value
    if word in {"OFF", "NORMAL", "0", "1"}:
        raise ValueError("must be FULL or EXTRA: anything weaker loses acknowledged jobs in a power cut")
    return word


def _durations(value: object) -> object:
    return tuple(parse_duration(part.strip()) for part in value.split(",")) if isinstance(value, str) else value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _job_rate(value: object) -> object:
    return parse_rate(value, parse_count) if isinstance(value, str) else value


def _byte_rate(value: object) -> object:
    return parse_rate(value, parse_size) if isinstance(value, str) else value


Rate = tuple[int, timedelta]
JobRate = Annotated[Rate, NoDecode, BeforeValidator(_job_rate)]
ByteRate = Annotated[Rate, NoDecode, BeforeValidator(_byte_rate)]
Upper = BeforeValidator(_upper)
Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]
Period = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))]
Schedule = Annotated[tuple[Period, ...], NoDecode, BeforeValidator(_durations), Field(min_length=1)]
Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
HttpUrl = Annotated[str, BeforeValidator(http_url)]
RedisUrl = Annotated[str, BeforeValidator(redis_url)]
DatabaseUrl = Annotated[str, BeforeValidator(database_url)]
NamedKeys = Annotated[Mapping[str, tuple[SecretStr, ...]], NoDecode, BeforeValidator(named_keys)]
Secret = Annotated[SecretStr, BeforeValidator(secret_of(24))]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(secrets_of(24))]
SigningSecrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(secrets_of(24, only_sign=True))]
