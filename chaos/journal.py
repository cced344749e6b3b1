"""Lines of JSON that outlive a kill of whoever writes them: one write call each, into a file opened for appending."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Appends records to a file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, kind: str, **record: Any) -> None:
        """One record."""
        os.write(self._descriptor, json.dumps({"kind": kind, **record}).encode() + b"\n")

    def close(self) -> None:
        os.close(self._descriptor)


def read(path: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """The records of these kinds, oldest first; a last line that was cut off is left out."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        record = json.loads(line)
        if record.pop("kind") in kinds:
            yield record
