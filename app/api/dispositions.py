"""Header values with parameters, as browsers, curl and HTTP libraries write them: reading and writing file names."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

_PARAMETER = re.compile(
    rb"""[ \t]*;[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^";\x00-\x20]*))""",
    re.DOTALL,
)
# WHATWG HTML escapes exactly these three in names; a literal %41 is data.
_BROWSER_ESCAPES = ((b"%22", b'"'), (b"%0D", b"\r"), (b"%0A", b"\n"), (b"%0d", b"\r"), (b"%0a", b"\n"))
_OUTSIDE_FALLBACK = re.compile(r"[^ !#-$&-.0-\[\]-~]")  # quotes, backslash, percent, slash and all but ASCII


def read_parameters(header: bytes) -> tuple[bytes, dict[str, str]]:
    """The value in lower case and its parameters, UTF-8. `filename*` (RFC 8187) stands under `filename` and wins.

    Raises ValueError when the header is not well-formed.
    """
    value, parameters = re.match(rb"[^;]*", header), dict[str, str]()
    assert value is not None  # noqa: S101 - the pattern matches anything
    position = value.end()
    while match := _PARAMETER.match(header, position):
        position = match.end()
        name = match["name"].decode().lower()
        if name in parameters:
            raise ValueError(f"the parameter {name} stands twice")
        parameters[name] = _read_value(name, match["quoted"], match["token"])
    if header[position:].strip(b" \t;"):
        raise ValueError("the parameters cannot be read")
    if (extended := parameters.pop("filename*", None)) is not None:
        parameters["filename"] = extended
    return value[0].strip(b" \t").lower(), parameters


def _read_value(name: str, quoted: bytes | None, token: bytes | None) -> str:
    if name.endswith("*"):
        return _read_extended(token or b"")
    if quoted is None:
        return (token or b"").decode()
    # Only these two: Chrome writes a backslash that is part of a name as it is.
    value = re.sub(rb'\\(["\\])', rb"\1", quoted)
    for escape, char in _BROWSER_ESCAPES:
        value = value.replace(escape, char)
    return value.decode()


def _read_extended(value: bytes) -> str:
    charset, _, rest = value.partition(b"'")
    _, quote_mark, encoded = rest.partition(b"'")
    if charset.lower() not in (b"utf-8", b"iso-8859-1") or not quote_mark:
        raise ValueError("an extended parameter needs its character set")
    return unquote_to_bytes(encoded).decode(charset.decode())


def attachment(filename: str) -> str:
    """A Content-Disposition that saves under `filename` (RFC 6266), with a name in ASCII for old programs."""
    fallback = _OUTSIDE_FALLBACK.sub("_", filename)
    if fallback == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
