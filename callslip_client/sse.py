"""Server-Sent Events out of bytes, however they are cut (WHATWG HTML, 9.2.6). Pure."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One whole event; `data` has its lines joined."""

    id: str
    event: str
    data: str


class EventParser:
    """Takes a stream's bytes piece by piece. What is cut off by the end of the stream was never an event."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._rest, self._id, self._event, self._data = "", "", "", list[str]()

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """The events that this piece completes."""
        for line in self._lines(self._decode(piece)):
            if line:
                self._take(line)
                continue
            if self._data:
                yield ServerSentEvent(self._id, self._event or "message", "\n".join(self._data))
            self._event, self._data = "", []

    def _lines(self, text: str) -> list[str]:
        text = self._rest + text
        # A CR at the very end may be the first half of a CR LF.
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        self._rest = rest + held
        return lines

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
