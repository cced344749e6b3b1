"""JSON without its lies: what databases, other languages and people would read in two ways is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import NoReturn

from app.domain.errors import Malformed
from app.domain.models import Json

MAX_DEPTH = 128
MAX_DIGITS = 308  # of a whole number: as many as a double has, which is what JavaScript may print; int() is quadratic


def decode_json(body: bytes) -> Json:
    """The value of a UTF-8 JSON text. Raises Malformed for what is not JSON, and for NaN, Infinity, numbers out of
    range, duplicate keys, lone surrogates, U+0000 and more than 128 levels.
    """
    try:
        value: Json = json.loads(
            body.decode(),
            parse_constant=_no_constant,
            parse_int=_whole_number,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except RecursionError as error:
        raise Malformed(f"the JSON has more than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    for text in _texts(value):
        _check_text(text)
    return value


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise Malformed(f"a whole number has more than {MAX_DIGITS} digits; send it as text")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Malformed("a number is out of range")
    return number


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise Malformed("an object has the same key twice")
    return value


def _texts(value: Json) -> Iterator[str]:
    level, depth = [value], 1
    while level:
        below: list[Json] = []
        for item in level:
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict | list):
                if depth > MAX_DEPTH:
                    raise Malformed(f"the JSON has more than {MAX_DEPTH} levels")
                if isinstance(item, dict):
                    yield from item
                below.extend(item.values() if isinstance(item, dict) else item)
        level, depth = below, depth + 1


def _check_text(text: str) -> None:
    if "\0" in text:
        raise Malformed("a text holds the character U+0000")
    try:
        text.encode()  # to look at each character of 256 KiB would hold the event loop up for tens of milliseconds
    except UnicodeEncodeError:
        raise Malformed("a text holds half of a surrogate pair") from None
