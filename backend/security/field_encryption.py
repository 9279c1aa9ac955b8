"""Personal identifiers at rest: encrypted field by field, and found by a keyed hash."""

import base64
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.security.keyring import Keyring

_NONCE_BYTES = 12


class UndecryptableField(Exception):
    """A sealed text was changed, or its key is missing."""


class FieldEncryption:
    """Encrypts and hashes with the city's keys."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._lookup: tuple[str, hmac.HMAC] | None = None

    def encrypt(self, text: str) -> str:
        """Encrypt a text (AES-256-GCM); each time it looks different."""
        key = self._keyring.current("field")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(key.material).encrypt(nonce, text.encode(), key.kid.encode())
        return f"{key.kid}.{base64.urlsafe_b64encode(sealed).decode()}"

    def decrypt(self, sealed: str) -> str:
        """Decrypt what `encrypt` gave, with whatever key it was sealed. Raises Unsealable."""
        kid, _, body = sealed.partition(".")
        key = next((key for key in self._keyring.keys("field") if key.kid == kid), None)
        if key is None:
            raise UndecryptableField(f"there is no field key {kid!r}")
        try:
            raw = base64.urlsafe_b64decode(body)
            return AESGCM(key.material).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], kid.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise UndecryptableField(f"a text sealed with the key {kid!r} was changed") from error

    def digest(self, kind: str, text: str) -> str:
        """Give a keyed hash (HMAC-SHA256, base64url) by which a text of this kind is found again."""
        key = self._keyring.current("lookup")
        if self._lookup is None or self._lookup[0] != key.kid:
            self._lookup = (key.kid, hmac.new(key.material, digestmod="sha256"))
        keyed = self._lookup[1].copy()  # `hmac.digest` would hand the interpreter to another thread each time
        keyed.update(f"{kind}\0{text}".encode())
        return base64.urlsafe_b64encode(keyed.digest()).rstrip(b"=").decode()
