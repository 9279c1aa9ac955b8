"""Signed codes: QR payloads that can be verified with or without a network.

A payload is a compact EdDSA JWS. It holds a `code_id`, which only the city can resolve to a person, and a validity of
one minute; it holds no personal data. Its audience names the kind of code, so that one kind is not accepted as another.
"""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from backend.security.keyring import verify_with_jwks

MAX_PAYLOAD_CHARACTERS = 250

EpochSeconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
"""An instant from 1970 to the end of 9999."""


class CodeClaims(Struct, frozen=True, gc=False):
    """The JWT claims that all codes share: `sub` is the code_id, `jti` is unique to each code."""

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


class GenuineCode(Struct, Generic[C], frozen=True):
    """A code that the city signed; an expired one still shows its `code_id` and when it was valid."""

    outcome: Literal["valid", "expired"]
    claims: C


class ForgedCode(Struct, frozen=True):
    """A payload that the city did not sign as a code of this audience."""

    outcome: Literal["forged"] = "forged"


def read_signed_code(
    audience: str,
    decoder: msgspec.json.Decoder[C],
    payload: str,
    jwks: dict[str, Any],
    now: datetime,
    skew_seconds: int,
) -> GenuineCode[C] | ForgedCode:
    """Verify a code of an audience with the city's published keys only, without server, store or network.

    A code is accepted `skew_seconds` before and after its validity, because clocks differ. A code of another audience
    is forged. Whether a code was used before cannot be seen from the code.
    """
    signed = verify_with_jwks(payload, jwks) if len(payload) <= MAX_PAYLOAD_CHARACTERS else None
    if signed is None:
        return ForgedCode()
    try:
        claims = decoder.decode(signed)
    except ValueError:
        return ForgedCode()
    if claims.aud != audience:
        return ForgedCode()
    valid = claims.iat - skew_seconds <= now.timestamp() < claims.exp + skew_seconds
    return GenuineCode("valid" if valid else "expired", claims)
