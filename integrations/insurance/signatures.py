"""Signatures of the national medical insurance interface: `signtype` SM2 or SM3, the signature in `cainfo`.

What is signed is the envelope without `cainfo`, as JSON with sorted keys and without spaces. SM2 signs it with the
sender's private key (GB/T 32918.2; r and s as 64 bytes in Base64). SM3 is the keyed digest (HMAC with GB/T 32905, in
hexadecimal) with a key that both sides have.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Literal

import gmalg
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC
from msgspec import Struct

SignatureType = Literal["SM2", "SM3"]
USER_ID = b"1234567812345678"
"""The identity that GB/T 35276 prescribes where the parties agree on none."""

_HALF = 32
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


class SigningKeys(Struct, frozen=True):
    """The keys of one side, in hexadecimal: its private SM2 key and the other's public one; or the one key of SM3."""

    type: SignatureType
    own: str
    other: str = ""

    def are_complete(self) -> bool:
        """Return whether all keys that the type needs are there, and have the form of keys."""
        if self.type == "SM3":
            return re.fullmatch(r"(?:[0-9a-fA-F]{2}){16,64}", self.own) is not None
        private, public = r"[0-9a-fA-F]{64}", r"04[0-9a-fA-F]{128}"
        return re.fullmatch(private, self.own) is not None and re.fullmatch(public, self.other) is not None

    def sign(self, members: Mapping[str, object]) -> str:
        """Return the signature of an envelope, for its `cainfo`."""
        if self.type == "SM3":
            return self._keyed_digest(members).finalize().hex()
        r, s = gmalg.SM2(bytes.fromhex(self.own), USER_ID).sign(_content(members))
        return base64.b64encode(_whole(r) + _whole(s)).decode()

    def verify(self, members: Mapping[str, object]) -> bool:
        """Return whether `cainfo` is the other side's signature of the rest of an envelope."""
        signature = members.get("cainfo")
        if not isinstance(signature, str) or members.get("signtype") != self.type:
            return False
        try:
            if self.type == "SM3":
                self._keyed_digest(members).verify(bytes.fromhex(signature))
                return True
            raw = base64.b64decode(signature, validate=True)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        if len(raw) != 2 * _HALF:
            return False
        return gmalg.SM2(uid=USER_ID, pk=bytes.fromhex(self.other)).verify(_content(members), raw[:_HALF], raw[_HALF:])

    def _keyed_digest(self, members: Mapping[str, object]) -> HMAC:
        digest = HMAC(bytes.fromhex(self.own), SM3())
        digest.update(_content(members))
        return digest


def new_key_pair() -> tuple[str, str]:
    """Return a new private SM2 key and its public key, in hexadecimal."""
    private, public = gmalg.SM2().generate_keypair()
    return _whole(private).hex(), public.hex()


def _whole(number: bytes) -> bytes:
    """Return a number of the curve in 32 bytes; gmalg leaves out leading zeros."""
    return number.rjust(_HALF, b"\0")


def _content(members: Mapping[str, object]) -> bytes:
    return _encode({name: value for name, value in members.items() if name != "cainfo"})
