"""The command that verifies a code offline."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from backend.city.service import discover_services
from backend.codes.signed_code import read_signed_code
from backend.security.keyring import verify_with_jwks

if TYPE_CHECKING:
    from backend.city.service import CodeFormat
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

    Exits with 0 if the code is valid, whatever it shows, and with 1 if it is expired or forged. Only the city itself
    knows whether a code was used before, or whether what it shows has changed since.
    """
    payload, keys = payload.strip(), _read_keys(jwks)
    code = _format_of(payload, keys)
    if code is None:
        click.echo("FORGED")
        sys.exit(1)
    decoder: msgspec.json.Decoder[CodeClaims] = msgspec.json.Decoder(code.claims)
    reading = read_signed_code(code.audience, decoder, payload, keys, datetime.now(UTC), skew)
    click.echo(reading.outcome.upper())
    if reading.outcome != "forged":
        click.echo(code.describe(reading.claims))
        click.echo(f"Valid from {reading.claims.issued_at} until {reading.claims.expires_at}")
    sys.exit(0 if reading.outcome == "valid" else 1)


def _format_of(payload: str, jwks: dict[str, Any]) -> CodeFormat | None:
    """Return the format of a code by its audience; None if it is forged, or no service has this audience."""
    claims = verify_with_jwks(payload, jwks)
    if claims is None:
        return None
    try:
        audience = msgspec.json.decode(claims, type=_Audience).aud
    except (ValueError, RecursionError):
        return None
    return next((one for service in discover_services() for one in service.codes if one.audience == audience), None)


def _read_keys(path: Path) -> dict[str, Any]:
    try:
        keys = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not a JSON Web Key Set: {error}") from error
    if not isinstance(keys, dict):
        raise click.ClickException(f"{path} is not a JSON Web Key Set: it contains no object")
    return cast("dict[str, Any]", keys)
