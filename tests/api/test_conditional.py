"""Entity tags and byte ranges."""

from __future__ import annotations

import pytest

from app.api.v1.conditional import NotSatisfiable, Span, matches, requested_span

TAG = '"abc"'


@pytest.mark.parametrize("header", ['"abc"', 'W/"abc"', '"x", "abc"', '"x",W/"abc" , "y"', "*", ' "abc" '])
def test_a_tag_is_found_in_its_header(header):
    assert matches(header, TAG)


@pytest.mark.parametrize("header", ["", "abc", '"abcd"', '"x"', 'W/"x", "ab"'])
def test_another_tag_is_not_found(header):
    assert not matches(header, TAG)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-3", Span(0, 4)),
        ("bytes=4-", Span(4, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-30", Span(0, 10)),
        ("bytes=9-9", Span(9, 10)),
        ("bytes=0-99", Span(0, 10)),
        (None, None),
        ("bytes=0-1,4-5", None),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=1-2", None),
        ("bytes=0-" + "9" * 5000, None),
    ],
)
def test_one_range_is_understood_and_everything_else_is_all(header, span):
    assert requested_span(header, None, TAG, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(header):
    with pytest.raises(NotSatisfiable):
        requested_span(header, None, TAG, 10)


def test_a_range_of_another_version_is_all():
    assert requested_span("bytes=0-3", '"other"', TAG, 10) is None
    assert requested_span("bytes=0-3", "Mon, 23 Nov 2026 05:00:00 GMT", TAG, 10) is None
    assert requested_span("bytes=0-3", TAG, TAG, 10) == Span(0, 4)
