"""Values that are planted to be looked for: each of them one of a kind, and found in any of the forms that text takes."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

MARK = "CANARY"  # begins every value that is made here, so that one look tells whether there is anything to be found


class Kind(StrEnum):
    """What a value is, and so who may see it."""

    SETTING = "a setting"  # a secret of the installation: nobody
    SENT = "a wrong credential"  # what a stranger sent: nobody
    TOKEN = "a token"  # of a callback or a session: whom it was given to
    CONTENT = "a file's content"  # who may read the file
    PERSONAL = "a personal value"  # who has an API key or the job's link


EVERYTHING = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Canary:
    """One planted value."""

    kind: Kind
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.name})"


class Canaries:
    """Plants values and finds them again."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.planted: list[Canary] = []

    def plant(self, kind: Kind, name: str) -> str:
        """A new value: letters and digits, so that it fits in everywhere as it is."""
        value = MARK + "".join(self._chance.choices(string.ascii_letters + string.digits, k=34))
        self.planted.append(Canary(kind, name, value))
        return value

    def plant_name(self, name: str, ending: str = ".bin") -> str:
        """A file's name."""
        return self.plant(Kind.PERSONAL, name) + ending

    def know(self, kind: Kind, name: str, value: str) -> None:
        """A value that was made elsewhere, such as a token that the product derived."""
        if all(canary.value != value for canary in self.planted):
            self.planted.append(Canary(kind, name, value))

    def find(self, content: bytes, kinds: Collection[Kind] = EVERYTHING) -> Iterator[Canary]:
        """The values of these kinds that stand in it."""
        ours = any(form in content for form in forms(MARK))
        for canary in self.planted:
            if canary.kind not in kinds or (canary.value.startswith(MARK) and not ours):
                continue
            if any(form in content for form in forms(canary.value)):
                yield canary


def forms(value: str) -> tuple[bytes, ...]:
    """As it is, in hexadecimal, and in base64 wherever it begins in what was encoded."""
    raw = value.encode()
    found = [raw, raw.hex().encode()]
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw)
        inner = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]  # what its neighbours have no part in
        found += {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return tuple(found)
