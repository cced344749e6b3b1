"""Durations and sizes as people write them: `15m`, `24h`, `1.5s`, `100 MB`, `16MiB`. A wrong one is refused in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
# As the standards have it (IEC 80000-13): MB is a million bytes, MiB is 1024 * 1024.
_BYTES = {"": 1, "b": 1} | {
    prefix + end: base**power
    for base, end in ((1000, "b"), (1024, "ib"))
    for power, prefix in enumerate("kmgt", start=1)
}
LONGEST_DAYS = 3660


def parse_duration(value: str | float) -> timedelta:
    """`15m`, `24h`, `7d`, `1.5s`, `500ms`; a bare number means seconds. Raises ValueError."""
    amount, factor = _read(str(value), _DURATION, _SECONDS, "must be a duration such as 90, 1.5s, 15m, 24h or 7d")
    if amount * factor > LONGEST_DAYS * 86400:
        raise ValueError("must be at most ten years")
    return timedelta(seconds=amount * factor)


def parse_size(value: str | int) -> int:
    """`100 MB`, `16MiB`, `2 GB`; a bare number means bytes. Raises ValueError."""
    amount, factor = _read(str(value), _SIZE, _BYTES, "must be a size such as 4096, 500 kB, 100 MB or 16 MiB")
    return int(amount * factor)


def parse_rate(value: str, amount: Callable[[str], int]) -> tuple[int, timedelta]:
    """`1000/1h`, or with `parse_size` for the amount `10 GiB/24h`: so much within any such time. Raises ValueError."""
    most, slash, window = value.partition("/")
    if not slash:
        raise ValueError("must be an amount and a time, such as 1000/1h or 10 GiB/24h")
    found = amount(most), parse_duration(window)
    if found[0] <= 0 or found[1] < timedelta(seconds=1):
        raise ValueError("must allow something within at least a second")
    return found


def parse_count(value: str) -> int:
    """A whole number. Raises ValueError."""
    if not value.strip().isdecimal() or len(value) > 12:
        raise ValueError("must begin with a whole number, as in 1000/1h")
    return int(value)


def _read(
    text: str, pattern: re.Pattern[str], units: dict[str, float] | dict[str, int], wanted: str
) -> tuple[float, float]:
    match = pattern.fullmatch(text.strip().lower())
    if match is None or not text.isascii() or len(text) > 32 or match[2] not in units:
        raise ValueError(wanted)
    return float(match[1]), units[match[2]]
