"""Encryption of personal identifiers in the store, field by field, and the keyed hashes to look them up by.

An encrypted value is bound to its place: copied to another document or field, it cannot be decrypted. Values of earlier
editions are not bound. `rebind` binds them; `chengma migrate` does it for all of them.
"""

import base64
import hmac
import logging
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.security.keyring import Key, Keyring
from backend.store import Document
from backend.store.place import Place

_NONCE_BYTES = 12
_log = logging.getLogger("chengma.keys")

_BOUND, _UNBOUND = ":", "."
"""What follows the key's id in a value that is bound to its place, and in one of an earlier edition."""


class UndecryptableField(Exception):
    """An encrypted text was tampered with or copied from another place, or its key is missing."""


class UnknownFieldKey(UndecryptableField):
    """The key that encrypted a text is missing."""


class FieldEncryption:
    """Encrypts and hashes with the city's keys. `reads_unbound` is True while the store may hold unbound values."""

    def __init__(self, keyring: Keyring) -> None:
        self.reads_unbound = False
        self._keyring = keyring
        self._lookup: tuple[str, hmac.HMAC] | None = None

    def encrypt(self, text: str, place: Place) -> str:
        """Return a text encrypted with AES-256-GCM for this place only; the result differs each time."""
        key = self._keyring.current("field")
        nonce = os.urandom(_NONCE_BYTES)
        encrypted = nonce + AESGCM(key.material).encrypt(nonce, text.encode(), _associated_data(key, place))
        return f"{key.kid}{_BOUND}{base64.urlsafe_b64encode(encrypted).decode()}"

    def decrypt(self, encrypted: str, place: Place) -> str:
        """Decrypt the output of `encrypt` for the same place, whichever key was used. Raises UndecryptableField."""
        if _BOUND in encrypted:
            return self._decrypt(encrypted, _BOUND, place)
        if self.reads_unbound:
            return self._decrypt(encrypted, _UNBOUND, None)
        raise UndecryptableField("a text is not bound to its place, which `chengma migrate` does")

    def read(self, document: Document, field: str) -> str:
        """Return the decrypted value of a field of a stored document. Raises UndecryptableField."""
        return self.decrypt(getattr(document, field), Place.of(type(document), document.id, field))

    def rebind(self, encrypted: str, place: Place) -> str:
        """Return a value of an earlier edition bound to its place, and any other one unchanged.

        A value that was tampered with is logged, and stays unreadable. Raises UnknownFieldKey.
        """
        if _BOUND in encrypted:
            return encrypted
        try:
            return self.encrypt(self._decrypt(encrypted, _UNBOUND, None), place)
        except UnknownFieldKey as error:
            raise UnknownFieldKey(f"{'/'.join(place)}: {error}: correct CHENGMA_KEYS, or restore the keys") from error
        except UndecryptableField:
            _log.warning("%s cannot be decrypted, and is left as it is", "/".join(place))
            return encrypted

    def _decrypt(self, encrypted: str, separator: str, place: Place | None) -> str:
        kid, _, body = encrypted.partition(separator)
        key = next((key for key in self._keyring.keys("field") if key.kid == kid), None)
        if key is None:
            raise UnknownFieldKey(f"there is no field key {kid!r}")
        try:
            raw = base64.urlsafe_b64decode(body)
            bound = _associated_data(key, place)
            return AESGCM(key.material).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound).decode()
        except (InvalidTag, ValueError) as error:
            raise UndecryptableField(f"a text encrypted with the key {kid!r} was changed or moved") from error

    def digest(self, kind: str, text: str) -> str:
        """Return a keyed hash (HMAC-SHA256, base64url) to look up a text of this kind by."""
        key = self._keyring.current("lookup")
        if self._lookup is None or self._lookup[0] != key.kid:
            self._lookup = (key.kid, hmac.new(key.material, digestmod="sha256"))
        keyed = self._lookup[1].copy()  # `hmac.digest` would release the GIL each time
        keyed.update(f"{kind}\0{text}".encode())
        return base64.urlsafe_b64encode(keyed.digest()).rstrip(b"=").decode()


def _associated_data(key: Key, place: Place | None) -> bytes:
    return "\0".join((key.kid, *(place or ()))).encode()
