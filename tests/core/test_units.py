"""What people may write for durations and sizes."""

from datetime import timedelta

import pytest

from app.core.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (90, 90),
        (0.25, 0.25),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("15m", 900),
        ("24h", 86400),
        ("7 d", 604800),
        ("0", 0),
    ],
)
def test_a_duration_reads_as_people_write_it(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "m", "-5", "5 weeks", "1e3", "nan", "inf", "5m 3s", "\u0665m", "9" * 20 + "d", True]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        (4096, 4096),
        ("1 b", 1),
        ("500 kB", 500_000),
        ("100 MB", 100_000_000),
        ("16MiB", 16_777_216),
        ("1.5 GB", 1_500_000_000),
    ],
)
def test_a_size_reads_as_people_write_it(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 QB", "1_000", "1e6", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(text)
