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
from backend.security.keyring import verify_with_jwks

if TYPE_CHECKING:
    from backend.city.service import OfflineReading


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
    reading = read_code(payload.strip(), _read_keys(jwks), datetime.now(UTC), skew)
    if reading is None:
        click.echo("FORGED")
        sys.exit(1)
    click.echo("VALID" if reading.is_valid else "EXPIRED")
    click.echo(reading.description)
    click.echo(f"Valid from {reading.valid_from} until {reading.valid_until}")
    sys.exit(0 if reading.is_valid else 1)


def read_code(payload: str, jwks: dict[str, Any], now: datetime, skew_seconds: int) -> OfflineReading | None:
    """Return the content of a code, read by the service whose audience it names; None if it is forged."""
    claims = verify_with_jwks(payload, jwks)
    if claims is None:
        return None
    try:
        audience = msgspec.json.decode(claims, type=_Audience).aud
    except ValueError:
        return None
    formats = {code.audience: code for service in discover_services() for code in service.codes}
    return formats[audience].read(payload, jwks, now, skew_seconds) if audience in formats else None


def _read_keys(path: Path) -> dict[str, Any]:
    try:
        keys = json.loads(path.read_bytes())
    except ValueError as error:
        raise click.ClickException(f"{path} is not a JSON Web Key Set: {error}") from error
    if not isinstance(keys, dict):
        raise click.ClickException(f"{path} is not a JSON Web Key Set: it contains no object")
    return cast("dict[str, Any]", keys)
