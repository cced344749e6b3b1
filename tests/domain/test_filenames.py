"""File names of every kind of ill will become harmless text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.filenames import LONGEST, clean_filename


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("receipt.png", "receipt.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\Réçu été.pdf", "Réçu été.pdf"),
        ("a\0b\r\nc.txt", "abc.txt"),
        ("exe.\u202egpj", "exe.gpj"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("dir/", "unnamed"),
        ("cafe\u0301.txt", "café.txt"),
        ("\ud800x.txt", "x.txt"),
        ("x" * 4000 + ".png", "x" * 251 + ".png"),
        ("y" * 4000, "y" * 255),
    ],
)
def test_a_name_is_kept_as_harmless_text(name: str, expected: str) -> None:
    assert clean_filename(name) == expected


@given(st.text(max_size=600).map(lambda text: text + "/..\\\u202e\0"[len(text) % 6 :]) | st.text(max_size=600))
def test_whatever_comes_in_what_comes_out_is_safe(name: str) -> None:
    clean = clean_filename(name)
    assert 0 < len(clean) <= LONGEST
    assert not set(clean) & set("/\\\0\r\n\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert clean not in (".", "..")
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in clean)
    clean.encode()


@given(st.text(max_size=600))
def test_cleaning_twice_is_cleaning_once(name: str) -> None:
    assert clean_filename(clean_filename(name)) == clean_filename(name)
