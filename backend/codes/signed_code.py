"""Signed codes: QR payloads that can be verified with or without a network.

A payload is a compact EdDSA JWS. Its subject is a `code_id` that is encrypted differently in each code, so that only
the city can tell that two codes belong to one person; it holds no personal data, and is valid for a minute. Its
audience names the kind of code, so that one kind is not accepted as another.
"""

import re
import secrets
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.security.keyring import Key, Keyring, TokenFault, VerifiedToken, verify_token

MAX_PAYLOAD_CHARACTERS = 250

EpochSeconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
"""An instant from 1970 to the end of 9999."""


class CodeClaims(Struct, frozen=True, gc=False):
    """The JWT claims that all codes share: `sub` is the encrypted code_id, `jti` is unique to each code.

    Codes of earlier editions have the code_id itself as `sub`.
    """

    aud: str
    sub: str
    jti: str
    iat: EpochSeconds
    exp: EpochSeconds

    @property
    def issued_at(self) -> datetime:
        """Return the instant from which the code is valid."""
        return datetime.fromtimestamp(self.iat, UTC)

    @property
    def expires_at(self) -> datetime:
        """Return the instant at which the code expires."""
        return datetime.fromtimestamp(self.exp, UTC)


C = TypeVar("C", bound=CodeClaims)


def make_code_id() -> str:
    """Return a new `code_id`: 12 random characters, not derived from the person."""
    return secrets.token_urlsafe(9)


def _generate_nonces() -> Iterator[str]:
    """Yield random strings of six characters; drawing a thousand at a time saves system calls."""
    while True:
        drawn = secrets.token_urlsafe(4_608)
        yield from (drawn[at : at + 6] for at in range(0, 6_144, 6))


nonces = _generate_nonces()
"""Values for the `jti` of new codes."""


_encoder = msgspec.json.Encoder()


def issue_code(keys: Keyring, claims: CodeClaims) -> str:
    """Return the payload of a code; `claims` have the code_id as their subject, which is encrypted here."""
    signer = keys.code_signer()
    return signer.sign(_encoder.encode(replace(claims, sub=_encrypted(claims.sub, signer.key, claims))))


_SEGMENT = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_").encode()
_SIX_BITS = bytes.maketrans(_SEGMENT, bytes(range(64)))
_LETTERS = _SEGMENT * 4


def _encrypted(subject: str, key: Key, claims: CodeClaims) -> str:
    """Encrypt or decrypt a subject; the result has its length, which the 250 characters of a payload require.

    It is a stream cipher. Its keystream is keyed BLAKE2b (RFC 7693) of the nonce, `jti` with the instant of issue; six
    bits of each byte encrypt one character. The signature of the code makes it tamper-proof.
    """
    nonce = f"{claims.aud} {claims.jti} {claims.iat}".encode()
    keystream = blake2b(nonce, key=key.material, person=b"subject of code").digest()
    bits = subject.encode().translate(_SIX_BITS)
    encrypted = int.from_bytes(bits, "big") ^ int.from_bytes(keystream[: len(bits)], "big")
    return encrypted.to_bytes(len(bits), "big").translate(_LETTERS).decode()


class GenuineCode(Struct, Generic[C], frozen=True):
    """A code that the city signed with the key `kid`; an expired one still shows when it was valid.

    `clock_differs`: it is not valid yet, so the clock of the issuer or of the reader is wrong.
    """

    outcome: Literal["valid", "expired", "clock_differs"]
    claims: C
    kid: str = ""

    def code_ids(self, keys: Keyring) -> list[str]:
        """Return the decrypted subject, and the subject itself, which is the code_id in codes of earlier editions."""
        key = next((key for key in keys.keys("code") if key.kid == self.kid), None)
        return [*([_encrypted(self.claims.sub, key, self.claims)] if key else []), self.claims.sub]


class RejectedCode(Struct, frozen=True):
    """A payload that is not accepted as a code of the audience.

    `unreadable`: it is not a code at all, or was not scanned completely. `unknown_key`: the key set lacks the key that
    it names. `forged`: the city did not sign it as a code of this audience.
    """

    outcome: TokenFault


_NOISE = re.compile(r"[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]+")
_SYMBOLOGY = re.compile(r"^\][A-Za-z][0-9A-Za-z]")


def without_scanner_noise(text: str) -> str:
    """Return a scanned text without what scanners and messengers add.

    They add control characters such as CR LF, white space, byte order marks and other invisible characters, and the
    symbology identifier of AIM (ISO/IEC 15424), such as `]Q1`. A code contains none of them.
    """
    return _SYMBOLOGY.sub("", _NOISE.sub("", text))


def read_signed_code(
    audience: str,
    decoder: msgspec.json.Decoder[C],
    payload: str,
    jwks: dict[str, Any],
    now: datetime,
    skew_seconds: int,
) -> GenuineCode[C] | RejectedCode:
    """Verify a code of an audience with the city's published keys only, without server, store or network.

    A code is accepted `skew_seconds` before and after its validity, because clocks differ. A code of another audience
    is forged. Whether a code was used before cannot be seen from the code.
    """
    payload = without_scanner_noise(payload)
    token = verify_token(payload, jwks)
    if not isinstance(token, VerifiedToken):
        return RejectedCode(token)
    try:
        claims = decoder.decode(token.claims)
    except ValueError:
        return RejectedCode("forged")
    if claims.aud != audience or len(payload) > MAX_PAYLOAD_CHARACTERS:
        return RejectedCode("forged")
    if now.timestamp() < claims.iat - skew_seconds:
        return GenuineCode("clock_differs", claims, token.kid)
    return GenuineCode("valid" if now.timestamp() < claims.exp + skew_seconds else "expired", claims, token.kid)
