"""Encryption of personal identifiers in the store, field by field, and the keyed hashes to look them up by."""

import base64
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.security.keyring import Keyring

_NONCE_BYTES = 12


class UndecryptableField(Exception):
    """An encrypted text was tampered with, or its key is missing."""


class FieldEncryption:
    """Encrypts and hashes with the city's keys."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._lookup: tuple[str, hmac.HMAC] | None = None

    def encrypt(self, text: str) -> str:
        """Return a text encrypted with AES-256-GCM; the result differs each time."""
        key = self._keyring.current("field")
        nonce = os.urandom(_NONCE_BYTES)
        encrypted = nonce + AESGCM(key.material).encrypt(nonce, text.encode(), key.kid.encode())
        return f"{key.kid}.{base64.urlsafe_b64encode(encrypted).decode()}"

    def decrypt(self, encrypted: str) -> str:
        """Decrypt the output of `encrypt`, whichever key was used. Raises UndecryptableField."""
        kid, _, body = encrypted.partition(".")
        key = next((key for key in self._keyring.keys("field") if key.kid == kid), None)
        if key is None:
            raise UndecryptableField(f"there is no field key {kid!r}")
        try:
            raw = base64.urlsafe_b64decode(body)
            return AESGCM(key.material).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], kid.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise UndecryptableField(f"a text encrypted with the key {kid!r} was changed") from error

    def digest(self, kind: str, text: str) -> str:
        """Return a keyed hash (HMAC-SHA256, base64url) to look up a text of this kind by."""
        key = self._keyring.current("lookup")
        if self._lookup is None or self._lookup[0] != key.kid:
            self._lookup = (key.kid, hmac.new(key.material, digestmod="sha256"))
        keyed = self._lookup[1].copy()  # `hmac.digest` would release the GIL each time
        keyed.update(f"{kind}\0{text}".encode())
        return base64.urlsafe_b64encode(keyed.digest()).rstrip(b"=").decode()
