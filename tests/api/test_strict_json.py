"""JSON without its lies."""

from __future__ import annotations

import pytest

from app.api.strict_json import decode_json
from app.domain.errors import Malformed

LIES = {
    "nothing": b"",
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "a number out of range": b"[1e400]",
    "5,000 digits": b"[" + b"9" * 5000 + b"]",
    "309 digits": b"[-" + b"1" * 309 + b"]",
    "duplicate keys": b'{"a": 1, "a": 2}',
    "duplicate keys deep inside": b'{"a": [{"b": 1, "b": 1}]}',
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate in a key": b'{"\\udfff": 1}',
    "U+0000": b'"a\\u0000b"',
    "U+0000 in a key": b'{"\\u0000": 1}',
    "129 levels": b"[" * 129 + b"]" * 129,
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "not UTF-8": b'"\xff"',
    "bytes behind the end": b"{} x",
    "a single quote": b"{'a': 1}",
    "a control character": b'"a\nb"',
    "a comma too many": b"[1,]",
}


@pytest.mark.parametrize("body", LIES.values(), ids=LIES.keys())
def test_a_lie_is_malformed(body):
    with pytest.raises(Malformed) as refused:
        decode_json(body)
    assert str(refused.value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, -0.5, 1e3, true, null, "\xc3\xbc"]}', {"a": [1, -0.5, 1000.0, True, None, "ü"]}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"1234567890123456800", 1234567890123456800),  # as JavaScript prints a large id
        (b"[" * 128 + b"]" * 128, None),
    ],
)
def test_honest_json_is_read(body, value):
    assert value is None or decode_json(body) == value
    decode_json(body)
