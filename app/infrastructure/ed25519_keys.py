"""Ed25519 keys as text, and whether a signature is by one of them."""

from __future__ import annotations

import re
from collections.abc import Collection

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.domain.statements import Authentic, key_id

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n?", re.DOTALL)


def read_keys(text: str) -> tuple[Ed25519PrivateKey, tuple[bytes, ...]]:
    """The private key and, from it on, all public ones in PEM blocks. Raises ValueError and TypeError."""
    first, *others = [block.group().encode() for block in _BLOCK.finditer(text)]
    private = serialization.load_pem_private_key(first, password=None)
    public = [serialization.load_pem_public_key(other) for other in others]
    if not isinstance(private, Ed25519PrivateKey):
        raise TypeError
    older = [key.public_bytes_raw() for key in public if isinstance(key, Ed25519PublicKey)]
    return private, (private.public_key().public_bytes_raw(), *older)


def new_private_key() -> str:
    """A fresh key in PEM."""
    key = Ed25519PrivateKey.generate()
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def public_pem(raw: bytes) -> str:
    """A public key in PEM."""
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def authentic(keys: Collection[bytes]) -> Authentic:
    """What tells whether a signature is by one of these public keys. Raises ValueError for what is no key."""
    known = {key_id(key): Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def by_one_of_them(name: str, statement: bytes, signature: bytes) -> bool:
        try:
            known[name].verify(signature, statement)
        except (KeyError, InvalidSignature):
            return False
        return True

    return by_one_of_them
