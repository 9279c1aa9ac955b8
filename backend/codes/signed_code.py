"""What every code of the city has: a QR payload that proves itself, with or without a network, to one audience.

The payload is a compact EdDSA JWS. It names a `code_id` that leads to a person only inside the city, and the minute for
which it counts; it holds nothing personal. Its audience says what kind of code it is, so that none passes for another.
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
    """What every code claims, in the short names of a JWT: `sub` is the code_id, `jti` differs each time."""

    aud: str
    sub: str
    jti: str
    iat: EpochSeconds
    exp: EpochSeconds

    @property
    def issued_at(self) -> datetime:
        """Give the instant from which the code counts."""
        return datetime.fromtimestamp(self.iat, UTC)

    @property
    def expires_at(self) -> datetime:
        """Give the instant from which it no longer does."""
        return datetime.fromtimestamp(self.exp, UTC)


C = TypeVar("C", bound=CodeClaims)


def make_code_id() -> str:
    """Make a person's `code_id`: 12 characters by chance, which say nothing about the person."""
    return secrets.token_urlsafe(9)


def _draw_nonces() -> Iterator[str]:
    """Give six characters by chance, again and again; drawn by the thousand, they need few calls of the system."""
    while True:
        drawn = secrets.token_urlsafe(4_608)
        yield from (drawn[at : at + 6] for at in range(0, 6_144, 6))


nonces = _draw_nonces()
"""For the `jti` of each code that is made."""


class Reading(Struct, Generic[C], frozen=True):
    """What a code says by itself; an expired one still says for whom and when it counted."""

    outcome: Literal["valid", "expired"]
    claims: C


class Forged(Struct, frozen=True):
    """What anything else says: nothing."""

    outcome: Literal["forged"] = "forged"


def read_code_for(
    audience: str,
    decoder: msgspec.json.Decoder[C],
    payload: str,
    jwks: dict[str, Any],
    now: datetime,
    skew_seconds: int,
) -> Reading[C] | Forged:
    """Read a code of an audience with nothing but the city's published keys: no server, no store, no network.

    A code counts `skew_seconds` longer, and as much earlier, than it says, since clocks differ. A code of another
    audience is forged. Whether a code was used before, it cannot tell by itself.
    """
    signed = verify_with_jwks(payload, jwks) if len(payload) <= MAX_PAYLOAD_CHARACTERS else None
    if signed is None:
        return Forged()
    try:
        claims = decoder.decode(signed)
    except ValueError:
        return Forged()
    if claims.aud != audience:
        return Forged()
    counts = claims.iat - skew_seconds <= now.timestamp() < claims.exp + skew_seconds
    return Reading("valid" if counts else "expired", claims)
