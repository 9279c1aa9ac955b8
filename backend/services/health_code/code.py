"""The health code itself: what its QR image holds, and how a colour is told to people."""

from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from backend.city.service import OfflineReading
from backend.codes.image import Sign
from backend.codes.signed_code import CodeClaims, Forged, Reading, nonces, read_code_for
from backend.i18n import Text

Colour = Literal["green", "yellow", "red"]
Shape = Literal["circle", "triangle", "octagon"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

AUDIENCE = "hc"

SIGNS: dict[str, Sign[Shape]] = {
    "green": Sign(Text(zh="绿码", en="GREEN"), "circle", "#00803c", "#ffffff"),
    "yellow": Sign(Text(zh="黄码", en="YELLOW"), "triangle", "#ffc400", "#000000"),
    "red": Sign(Text(zh="红码", en="RED"), "octagon", "#c8102e", "#ffffff"),
}

_LETTERS: dict[str, Literal["g", "y", "r"]] = {"green": "g", "yellow": "y", "red": "r"}
_COLOURS: dict[str, Colour] = {"g": "green", "y": "yellow", "r": "red"}


class Claims(CodeClaims, frozen=True, gc=False):
    """What a health code claims: `col` is the first letter of the colour."""

    col: Literal["g", "y", "r"]

    @property
    def colour(self) -> Colour:
        """Give the colour with which the code was issued."""
        return _COLOURS[self.col]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Claims)


def make_claims(code_id: str, colour: str, now: datetime, seconds: int) -> tuple[bytes, int, int]:
    """Make the claims of a code that counts from `now` for `seconds`; give them with both instants in epoch seconds."""
    issued = int(now.timestamp())
    expires = issued + seconds
    return (
        _encoder.encode(Claims(AUDIENCE, code_id, next(nonces), issued, expires, _LETTERS[colour])),
        issued,
        expires,
    )


def read_code(payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int) -> Reading[Claims] | Forged:
    """Read a health code with nothing but the city's published keys.

    It cannot tell whether the code was used before, or whether the colour has changed since.
    """
    return read_code_for(AUDIENCE, _decoder, payload, jwks, now, skew_seconds)


def read_offline(payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int) -> OfflineReading | None:
    """Return what a health code says without asking the city; None if it is forged."""
    reading = read_code(payload, jwks, now, skew_seconds)
    if reading.outcome == "forged":
        return None
    claims, sign = reading.claims, SIGNS[reading.claims.colour]
    description = f"{sign.word.zh} {sign.word.en} ({sign.shape})"
    return OfflineReading(reading.outcome == "valid", description, claims.issued_at, claims.expires_at)
