"""On which line of a TOML text each key stands: the standard library's parser does not tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str, ...]


def lines_of(text: str) -> dict[Path, int]:
    """The first line of every table and key of a TOML text that is valid, by its full path."""
    found: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        value = tomllib.loads(statement)
        paths = list(_paths(value))
        if statement.lstrip().startswith("["):
            table = max(paths, key=len)
            paths = [table[: end + 1] for end in range(len(table))]
        else:
            paths = [table + path for path in paths]
        for path in paths:
            found.setdefault(path, number)
    return found


def error_line(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line that a syntax error names."""
    match = re.search(r"at line (\d+)", str(error))
    return int(match[1]) if match else text.count("\n") + 1


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """A header or one key with its value, which may go over several lines: the fewest lines that parse."""
    pending, first = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        first = first if pending else number
        pending += line + "\n"
        try:
            value = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        if value:
            yield first, pending
        pending = ""


def _paths(value: object, above: Path = ()) -> Iterator[Path]:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):  # [[table]]
        yield from _paths(value[0], above)
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield (*above, key)
            yield from _paths(below, (*above, key))
