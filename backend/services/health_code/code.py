"""The code itself: what the QR image holds, and how a gate reads it, with or without a network.

The payload is a compact EdDSA JWS. It names a `code_id` that leads to a person only inside the city, the colour, and
the minute for which it counts; it holds nothing personal.
"""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from backend.keys import verify_with_jwks
from backend.text import Text

Colour = Literal["green", "yellow", "red"]
Shape = Literal["circle", "triangle", "octagon"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

PAYLOAD_CHARACTERS_AT_MOST = 250
AUDIENCE = "hc"


class Sign(Struct, frozen=True):
    """How a colour is told to people, also to those who do not see colours: by its word and its shape."""

    word: Text
    shape: Shape


SIGNS: dict[str, Sign] = {
    "green": Sign(Text(zh="绿码", en="GREEN"), "circle"),
    "yellow": Sign(Text(zh="黄码", en="YELLOW"), "triangle"),
    "red": Sign(Text(zh="红码", en="RED"), "octagon"),
}

_LETTERS: dict[str, Literal["g", "y", "r"]] = {"green": "g", "yellow": "y", "red": "r"}
_COLOURS: dict[str, Colour] = {"g": "green", "y": "yellow", "r": "red"}


class Claims(Struct, frozen=True, gc=False):
    """What a code claims, in the short names of a JWT: `col` is the colour's first letter, `jti` differs each time."""

    aud: str
    sub: str
    jti: str
    col: Literal["g", "y", "r"]
    iat: int
    exp: int


def make_code_id() -> str:
    """Make a person's `code_id`: 12 characters by chance, which say nothing about the person."""
    return secrets.token_urlsafe(9)


def make_claims(code_id: str, colour: str, now: datetime, seconds: int) -> tuple[bytes, int, int]:
    """Make the claims of a code that counts from `now` for `seconds`; give them with both instants in epoch seconds."""
    issued = int(now.timestamp())
    expires = issued + seconds
    return (
        _encoder.encode(Claims(AUDIENCE, code_id, next(_nonces), _LETTERS[colour], issued, expires)),
        issued,
        expires,
    )


def _draw_nonces() -> Iterator[str]:
    """Give six characters by chance, again and again; drawn by the thousand, they need few calls of the system."""
    while True:
        drawn = secrets.token_urlsafe(4_608)
        yield from (drawn[at : at + 6] for at in range(0, 6_144, 6))


_nonces = _draw_nonces()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Claims)


class Reading(Struct, frozen=True):
    """What a code says by itself. A forged one says nothing; an expired one still says for whom and when it counted."""

    outcome: Literal["valid", "expired", "forged"]
    colour: Colour | None = None
    code_id: str = ""
    nonce: str = ""
    issued_at: datetime | None = None
    expires_at: datetime | None = None


FORGED = Reading("forged")


def read_claims(claims: bytes | None, now: datetime, skew_seconds: int) -> Reading:
    """Read the claims that a signature vouches for, or None where none does.

    A code counts `skew_seconds` longer, and as much earlier, than it says, since clocks differ.
    """
    if claims is None:
        return FORGED
    try:
        said = _decoder.decode(claims)
        issued_at, expires_at = datetime.fromtimestamp(said.iat, UTC), datetime.fromtimestamp(said.exp, UTC)
    except (msgspec.DecodeError, ValueError, OverflowError, OSError):
        return FORGED
    if said.aud != AUDIENCE:
        return FORGED
    counts = said.iat - skew_seconds <= now.timestamp() < said.exp + skew_seconds
    return Reading("valid" if counts else "expired", _COLOURS[said.col], said.sub, said.jti, issued_at, expires_at)


def read_code(payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int) -> Reading:
    """Read a code with nothing but the city's published keys: no server, no store, no network.

    It cannot tell whether the code was used before, or whether the colour has changed since.
    """
    if len(payload) > PAYLOAD_CHARACTERS_AT_MOST:
        return FORGED
    return read_claims(verify_with_jwks(payload, jwks), now, skew_seconds)
