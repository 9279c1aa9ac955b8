"""The talent code itself: the content of its QR image, and how it differs from other codes.

It proves that its holder has a talent code, and nothing more. Partners query the city for what they may know.
"""

from datetime import datetime
from typing import Any

import msgspec

from backend.codes.image import CodeStyle
from backend.codes.signed_code import CodeClaims, ForgedCode, GenuineCode, nonces, read_signed_code
from backend.i18n import Text

AUDIENCE = "tc"

SIGN = CodeStyle(Text(zh="人才码", en="TALENT"), "diamond", "#0b4f9e", "#ffffff")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CodeClaims)


def make_claims(code_id: str, now: datetime, seconds: int) -> tuple[bytes, int, int]:
    """Return the claims of a code that is valid for `seconds` from `now`, and both instants in epoch seconds."""
    issued = int(now.timestamp())
    expires = issued + seconds
    return _encoder.encode(CodeClaims(AUDIENCE, code_id, next(nonces), issued, expires)), issued, expires


def read_talent_code(
    payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int
) -> GenuineCode[CodeClaims] | ForgedCode:
    """Read a talent code with the city's published keys alone.

    The result does not show whether the code was used before, or whether its holder still has a class.
    """
    return read_signed_code(AUDIENCE, _decoder, payload, jwks, now, skew_seconds)
