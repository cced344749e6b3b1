"""However a stream is cut, the same events come out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callslip_client.sse import EventParser, ServerSentEvent

STREAM = ': hello\n\nid: 1\nevent: Accepted\ndata: {"a": 1}\n\nid: 2\r\ndata: first\r\ndata:  second\r\n\r\nevent: none\n\nid: 3\rdata: März\r\rid: 4\ndata: cut'
EXPECTED = [
    ServerSentEvent("1", "Accepted", '{"a": 1}'),
    ServerSentEvent("2", "message", "first\n second"),
    ServerSentEvent("3", "message", "März"),
]


@given(st.lists(st.integers(min_value=1, max_value=20), min_size=1))
def test_any_cut_of_a_stream_gives_the_same_events(lengths: list[int]) -> None:
    parser, rest, found = EventParser(), STREAM.encode(), []
    while rest:
        for length in lengths:
            found += parser.feed(rest[:length])
            rest = rest[length:]
    assert found == EXPECTED


def test_an_event_without_its_empty_line_was_never_sent() -> None:
    assert list(EventParser().feed(b"id: 1\ndata: {}\n")) == []
