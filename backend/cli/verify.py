"""The command that verifies a code offline."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
import msgspec

from backend.city.service import CodeFormat, discover_services
from backend.codes.signed_code import RejectedCode, read_signed_code, without_scanner_noise
from backend.security.keyring import TokenFault, VerifiedToken, verify_token

if TYPE_CHECKING:
    from backend.codes.signed_code import CodeClaims


class _Audience(msgspec.Struct):
    """The claim that names the kind of a code."""

    aud: str


@click.command()
@click.argument("payload")
@click.option(
    "--keys",
    "jwks",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The city's public keys, as /.well-known/jwks.json returns them.",
)
@click.option(
    "--skew", default=30, show_default=True, type=click.IntRange(0, 120), help="Allowed clock difference, in seconds."
)
def verify(payload: str, jwks: Path, skew: int) -> None:
    """Verify the PAYLOAD of a code offline, using only the city's public keys.

    Exits with 0 if the code is valid, whatever it shows, and otherwise with 1. The text CANNOT BE READ if it is not a
    code. UNKNOWN KEY: the key set lacks the key of the code. CLOCK DIFFERS: the code was issued after now. Only the
    city itself knows whether a code was used before, or whether what it shows has changed since.
    """
    payload, keys, now = without_scanner_noise(payload), _read_keys(jwks), datetime.now(UTC)
    code = _format_of(payload, keys)
    if not isinstance(code, CodeFormat):
        _reject(code)
    decoder: msgspec.json.Decoder[CodeClaims] = msgspec.json.Decoder(code.claims)
    reading = read_signed_code(code.audience, decoder, payload, keys, now, skew)
    if isinstance(reading, RejectedCode):
        _reject(reading.outcome)
    early = round((reading.claims.issued_at - now).total_seconds())
    click.echo(f"CLOCK DIFFERS by {early} s" if reading.outcome == "clock_differs" else reading.outcome.upper())
    click.echo(code.describe(reading.claims))
    click.echo(f"Valid from {reading.claims.issued_at} until {reading.claims.expires_at}")
    sys.exit(0 if reading.outcome == "valid" else 1)


def _reject(fault: TokenFault) -> NoReturn:
    """Print why a text is not accepted as a code, and exit."""
    click.echo(_FAULTS[fault])
    sys.exit(1)


_FAULTS: dict[TokenFault, str] = {
    "unreadable": "CANNOT BE READ",
    "unknown_key": "UNKNOWN KEY\nFetch the key set again; if the key is still unknown, do not accept the code.",
    "forged": "FORGED",
}


def _format_of(payload: str, jwks: dict[str, Any]) -> CodeFormat | TokenFault:
    """Return the format of a code by its audience, or why it is not accepted."""
    token = verify_token(payload, jwks)
    if not isinstance(token, VerifiedToken):
        return token
    try:
        audience = msgspec.json.decode(token.claims, type=_Audience).aud
    except (ValueError, RecursionError):
        return "forged"
    formats = {code.audience: code for service in discover_services() for code in service.codes}
    return formats.get(audience, "forged")


def _read_keys(path: Path) -> dict[str, Any]:
    try:
        keys = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not a JSON Web Key Set: {error}") from error
    if not isinstance(keys, dict):
        raise click.ClickException(f"{path} is not a JSON Web Key Set: it contains no object")
    return cast("dict[str, Any]", keys)
