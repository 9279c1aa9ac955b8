"""Keys for a city in a test."""

from pathlib import Path
from typing import Any

from backend.security.keyring import VerifiedToken, make_keys, verify_token


def new_keys(folder: Path) -> str:
    """Make the missing keys of a folder, and return it as the setting that names it."""
    make_keys(folder)
    return str(folder)


def verify_with_jwks(token: str, jwks: dict[str, Any]) -> bytes | None:
    """Return the claims of a code that was signed by a key of the set; None for any other text."""
    verified = verify_token(token, jwks)
    return verified.claims if isinstance(verified, VerifiedToken) else None
