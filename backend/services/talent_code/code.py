"""The talent code itself: the content of its QR image, and how it differs from other codes.

It proves that its holder has a talent code, and nothing more. Partners query the city for what they may know.
"""

from datetime import datetime
from typing import Any

import msgspec

from backend.codes.image import CodeStyle
from backend.codes.signed_code import CodeClaims, GenuineCode, RejectedCode, nonces, read_signed_code
from backend.i18n import Text

AUDIENCE = "tc"

SIGN = CodeStyle(Text(zh="人才码", en="TALENT"), "diamond", "#0b4f9e", "#ffffff")

_decoder = msgspec.json.Decoder(CodeClaims)


def make_claims(code_id: str, now: datetime, seconds: int) -> CodeClaims:
    """Return the claims of a code that is valid for `seconds` from `now`."""
    issued = int(now.timestamp())
    return CodeClaims(AUDIENCE, code_id, next(nonces), issued, issued + seconds)


def read_talent_code(
    payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int
) -> GenuineCode[CodeClaims] | RejectedCode:
    """Read a talent code with the city's published keys alone.

    The result does not show whether the code was used before, or whether its holder still has a class.
    """
    return read_signed_code(AUDIENCE, _decoder, payload, jwks, now, skew_seconds)
