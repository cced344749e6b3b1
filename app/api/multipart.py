"""The streaming upload parser: a multipart/form-data body becomes parts while it arrives, in constant memory.

python-multipart's push parser finds the parts; what is refused, and in which words, is decided here. The parts are the
same however the body is cut into chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from app.api.dispositions import read_parameters
from app.api.part_heads import PartHead, read_part_head
from app.domain.errors import Malformed, TooLarge
from app.domain.models import FilePart, ParamPart

MAX_HEADERS = 16 * 1024  # bytes of one part's headers
MAX_HEADER_LINES = 32
MAX_AROUND = 8 * 1024  # bytes before the first and behind the last boundary; RFC 2046 allows them, nobody sends them


@dataclass(frozen=True, slots=True)
class FormLimits:
    """At most so many parts, and so many bytes in one that is not the file."""

    max_parts: int
    max_field: int


class _Mark(Enum):
    END_OF_PART = 0
    END_OF_FORM = 1


def form_boundary(content_type: str) -> bytes:
    """The boundary that a multipart/form-data Content-Type names. Raises Malformed."""
    try:
        value, parameters = read_parameters(content_type.encode("latin-1"))
    except ValueError as error:
        raise Malformed("the Content-Type cannot be read") from error
    boundary = parameters.get("boundary", "")
    if value != b"multipart/form-data":
        raise Malformed("the body is not multipart/form-data")
    if not (1 <= len(boundary) <= 70 and boundary.isascii() and boundary.isprintable() and boundary[-1] != " "):
        raise Malformed("the Content-Type names no boundary of 1 to 70 characters")
    return boundary.encode()


def form_parts(boundary: bytes, body: AsyncIterator[bytes], limits: FormLimits) -> AsyncIterator[ParamPart | FilePart]:
    """The parts of a form in the order they arrive. The bytes of a FilePart come out of the same stream, so they are
    to be read before the next part is asked for; what was not read is skipped.

    Raises Malformed and TooLarge where the form breaks the rules, and whatever `body` raises.
    """
    return _Form(_Reader(boundary, body, limits), limits)


@dataclass(slots=True)
class _Reader:
    """Pushes the body into the parser and hands out what it finds: heads, bytes and marks, in order."""

    boundary: bytes
    body: AsyncIterator[bytes]
    limits: FormLimits
    _found: deque[PartHead | bytes | _Mark] = field(default_factory=deque)
    _preamble: bytearray | None = field(default_factory=bytearray)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _name: bytes = b""
    _value: bytes = b""
    _header_size: int = 0
    _parts: int = 0
    _complete: bool = False
    _epilogue: int = 0
    _parser: MultipartParser = field(init=False)

    def __post_init__(self) -> None:
        self._parser = MultipartParser(
            self.boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
                "on_part_end": lambda: self._found.append(_Mark.END_OF_PART),
                "on_end": self._form_ends,
            },
            max_header_count=MAX_HEADER_LINES,
            max_header_size=MAX_HEADERS,
        )

    async def next(self) -> PartHead | bytes | _Mark:
        while not self._found:
            chunk = await anext(self.body, None)
            if chunk is not None:
                self._push(chunk)
            elif self._complete:
                return _Mark.END_OF_FORM
            else:
                raise Malformed("the body ends before its last boundary")
        return self._found.popleft()

    def _push(self, chunk: bytes) -> None:
        if self._complete:
            self._epilogue += len(chunk)
            if self._epilogue > MAX_AROUND:
                raise Malformed("there is too much behind the last boundary")
            return
        chunk = self._without_preamble(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Malformed("the form is broken: its boundaries or part headers cannot be read") from error

    def _without_preamble(self, chunk: bytes) -> bytes:
        # The parser's own skipping depends on how the body is cut.
        if self._preamble is None:
            return chunk
        if not self._preamble and chunk.startswith(b"--" + self.boundary):
            self._preamble = None
            return chunk
        self._preamble += chunk
        start = (b"\r\n" + self._preamble).find(b"\r\n--" + self.boundary)
        if 0 <= start <= MAX_AROUND:
            rest, self._preamble = bytes(self._preamble[start:]), None
            return rest
        if len(self._preamble) > MAX_AROUND + len(self.boundary):
            raise Malformed("the body does not begin with the boundary that its Content-Type names")
        return b""

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > self.limits.max_parts:
            raise Malformed(f"the form has more than {self.limits.max_parts} parts")
        self._headers, self._header_size = {}, 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._measure(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._measure(end - start)
        self._value += data[start:end]

    def _measure(self, size: int) -> None:
        self._header_size += size
        if self._header_size > MAX_HEADERS:
            raise Malformed(f"the headers of a part are larger than {MAX_HEADERS} bytes")

    def _header_ends(self) -> None:
        if self._name.lower() in self._headers:
            raise Malformed("a part has the same header twice")
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        self._found.append(read_part_head(self._headers))

    def _form_ends(self) -> None:
        self._complete = True


@dataclass(slots=True)
class _Form:
    """Heads, bytes and marks put together to parts."""

    reader: _Reader
    limits: FormLimits
    _seen: set[str] = field(default_factory=set)
    _file: _FileChunks | None = None

    def __aiter__(self) -> _Form:
        return self

    async def __anext__(self) -> ParamPart | FilePart:
        if self._file is not None:
            async for _ in self._file:
                pass
        head = await self.reader.next()
        if not isinstance(head, PartHead):
            raise StopAsyncIteration
        self._check(head)
        if head.filename is None:
            return ParamPart(head.name, await self._text(head.name))
        self._file = _FileChunks(self.reader)
        return FilePart(head.filename, self._file)

    def _check(self, head: PartHead) -> None:
        if head.name in self._seen:
            raise Malformed(
                f"there are two parts named `{head.name}`" if head.name != "file" else "there are two files"
            )
        self._seen.add(head.name)
        if head.name == "file" and head.filename is None:
            raise Malformed("the part `file` has no filename, so it is text and no file")
        if head.name != "file" and head.filename is not None:
            raise Malformed(f"the part `{head.name}` is a file; the file is handed in as `file`")

    async def _text(self, name: str) -> str:
        value = bytearray()
        while isinstance(piece := await self.reader.next(), bytes):
            value += piece
            if len(value) > self.limits.max_field:
                raise TooLarge(f"the part `{name}` is larger than {self.limits.max_field} bytes")
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"the part `{name}` is not UTF-8") from error
        if "\0" in text:
            raise Malformed(f"the part `{name}` holds the character U+0000")
        return text


@dataclass(slots=True)
class _FileChunks:
    """The bytes of the file, once."""

    reader: _Reader
    _over: bool = False

    def __aiter__(self) -> _FileChunks:
        return self

    async def __anext__(self) -> bytes:
        if not self._over:
            piece = await self.reader.next()
            if isinstance(piece, bytes):
                return piece
            self._over = True
        raise StopAsyncIteration
