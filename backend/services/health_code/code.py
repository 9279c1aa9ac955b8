"""The health code itself: the claims in its QR image, and the style of each colour."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from backend.codes.image import CodeStyle
from backend.codes.signed_code import CodeClaims, GenuineCode, RejectedCode, nonces, read_signed_code
from backend.i18n import Text
from backend.services.health_code.rule_modules import Colour

Shape = Literal["circle", "triangle", "octagon"]

AUDIENCE = "hc"

STYLES: dict[str, CodeStyle[Shape]] = {
    "green": CodeStyle(Text(zh="绿码", en="GREEN"), "circle", "#00803c", "#ffffff"),
    "yellow": CodeStyle(Text(zh="黄码", en="YELLOW"), "triangle", "#ffc400", "#000000"),
    "red": CodeStyle(Text(zh="红码", en="RED"), "octagon", "#c8102e", "#ffffff"),
}

_LETTERS: dict[str, Literal["g", "y", "r"]] = {"green": "g", "yellow": "y", "red": "r"}
_COLOURS: dict[str, Colour] = {"g": "green", "y": "yellow", "r": "red"}


class HealthCodeClaims(CodeClaims, frozen=True, gc=False):
    """The claims of a health code: `col` is the first letter of the colour."""

    col: Literal["g", "y", "r"]

    @property
    def colour(self) -> Colour:
        """Return the colour with which the code was issued."""
        return _COLOURS[self.col]


_decoder = msgspec.json.Decoder(HealthCodeClaims)


def make_claims(code_id: str, colour: str, now: datetime, seconds: int) -> HealthCodeClaims:
    """Return the claims of a code that is valid for `seconds` from `now`."""
    issued = int(now.timestamp())
    return HealthCodeClaims(AUDIENCE, code_id, next(nonces), issued, issued + seconds, _LETTERS[colour])


def read_code(
    payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int
) -> GenuineCode[HealthCodeClaims] | RejectedCode:
    """Verify a health code with the city's published keys only.

    Whether the code was used before, or the colour has changed since, cannot be seen from the code.
    """
    return read_signed_code(AUDIENCE, _decoder, payload, jwks, now, skew_seconds)
