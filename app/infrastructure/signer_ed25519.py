"""The service's signature: an Ed25519 key in a file of its own, made at the first use."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.errors import Misconfigured

if TYPE_CHECKING:  # takes a moment and some memory, which a process that signs nothing spares
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Ed25519Signer:
    """`path` holds PEM blocks: first the private key that signs, then the public ones of before, if any.

    Without a file, one is made that only its owner can read; processes that start at once agree on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def keys(self) -> Sequence[bytes]:
        return self._read[1]

    def sign(self, statement: bytes) -> bytes:
        return self._read[0].sign(statement)

    def renew(self) -> None:
        """Makes a new key that signs from the next start on; the old one's public half stays in the file."""
        from app.infrastructure import ed25519_keys  # noqa: PLC0415 - see above

        text = ed25519_keys.new_private_key() + "".join(map(ed25519_keys.public_pem, self.keys))
        new = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        _write(new, text)
        new.replace(self._path)
        _force(self._path.parent)
        del self._read

    @cached_property
    def _read(self) -> tuple[Ed25519PrivateKey, tuple[bytes, ...]]:
        from app.infrastructure import ed25519_keys  # noqa: PLC0415 - see above

        try:
            if not self._path.exists():
                _make(self._path, ed25519_keys.new_private_key())
            return ed25519_keys.read_keys(self._path.read_text(encoding="ascii"))
        except OSError as error:
            raise Misconfigured([f"SIGNING_KEY_FILE={self._path} cannot be used: {error.strerror}"]) from None
        except (ValueError, TypeError):
            raise Misconfigured([f"SIGNING_KEY_FILE={self._path} holds no Ed25519 key in PEM"]) from None


def _make(path: Path, text: str) -> None:
    """The first to link its key to the name has made it; whoever comes later takes that one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    _write(own, text)
    try:
        os.link(own, path)
        _force(path.parent)
    except FileExistsError:
        pass
    finally:
        own.unlink()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _force(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
