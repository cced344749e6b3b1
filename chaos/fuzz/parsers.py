"""What must hold for any bytes that reach the two parsers for strangers: forms, and what workflows call back with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from app.api.multipart import FormLimits, form_parts
from app.api.v1.callback_payload import check_payload, read_fields
from app.domain.errors import CallslipError
from app.domain.models import FilePart
from chaos.fuzz.corpora import BROKEN_FORMS
from chaos.fuzz.hostile import LIES

LIMITS = FormLimits(max_parts=8, max_field=1024)
TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b")
LARGEST = 4096


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of what waits for nobody, without an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the parser waits for something")


async def _arriving(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _parts(pieces: Sequence[bytes]) -> list[tuple[str | None, object]]:
    found: list[tuple[str | None, object]] = []
    async for one in form_parts(b"b", _arriving(pieces), LIMITS):
        if isinstance(one, FilePart):
            found.append((one.filename, b"".join([piece async for piece in one.chunks])))
        else:
            found.append((one.name, one.value))
    return found


def _outcome(pieces: Sequence[bytes]) -> object:
    try:
        return finished(_parts(pieces))
    except CallslipError as refused:
        return type(refused)


def multipart(data: bytes) -> None:
    """A form is read, or refused in the service's own words; and how it is cut into pieces makes no difference."""
    size, body = 1 + (data[0] if data else 0), data[1:]
    whole = _outcome([body])
    cut = _outcome([body[at : at + size] for at in range(0, len(body), size)])
    if whole != cut and (isinstance(whole, list) or isinstance(cut, list)):  # for refusals there may be several reasons
        raise AssertionError(f"in one piece {whole!r}, in pieces of {size} {cut!r}")


def callback(data: bytes) -> None:
    """A callback's body is read, or refused in the service's own words; what is read can be stored by any database."""
    kind, body = TYPES[(data[0] if data else 0) % len(TYPES)], data[1:]
    try:
        payload = check_payload(finished(read_fields(kind, body)))
        payload.callback()
    except CallslipError:
        return
    text = payload.model_dump_json()
    if "\\u0000" in text.replace("\\\\", ""):
        raise AssertionError("a NUL was let through")


TARGETS: Mapping[str, Callable[[bytes], None]] = {"multipart": multipart, "callback": callback}


def seeds(name: str) -> Iterator[bytes]:
    """Where to begin: the corpora of the row `fuzz`."""
    for number, one in enumerate(BROKEN_FORMS if name == "multipart" else LIES):
        if len(one) < LARGEST:
            yield bytes([number]) + one
    if name == "callback":
        yield from (bytes([2]) + one for one in BROKEN_FORMS if len(one) < LARGEST)
        yield from (bytes([3]) + one for one in LIES if len(one) < LARGEST)
