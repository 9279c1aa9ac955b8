"""The commands that manage the city's keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import click

from backend.cli.errors import load_settings, report_errors
from backend.security.keyring import ROTATED, Keyring, Use, make_keys, rotate


@click.group()
def keys() -> None:
    """Create, list, publish and rotate the city's keys."""


@keys.command("make")
def make() -> None:
    """Create missing keys; keep existing ones."""
    with report_errors():
        make_keys(_folder())


@keys.command("list")
def list_() -> None:
    """List active keys, without their secrets."""
    with report_errors():
        active = Keyring.open(_folder()).keys()
        for key in active:
            until = f"until {key.retires:%Y-%m-%d %H:%M} UTC" if key.retires else "current"
            click.echo(f"{key.use:8}{key.kid:8}{key.created:%Y-%m-%d %H:%M} UTC  {until}")


@keys.command("publish")
def publish() -> None:
    """Print the public keys that verify codes, as a JSON Web Key Set."""
    with report_errors():
        click.echo(json.dumps(Keyring.open(_folder()).jwks(), indent=2))


@keys.command("rotate")
@click.argument("use", type=click.Choice(ROTATED))
@click.option(
    "--overlap-hours",
    default=24,
    show_default=True,
    type=click.IntRange(0, 24 * 365),
    help="How long the old key still verifies.",
)
def rotate_(use: str, overlap_hours: int) -> None:
    """Add a new key; running servers pick it up within seconds.

    The old key verifies until its overlap ends, so that nobody is signed out. Old `field` keys decrypt permanently.
    """
    with report_errors():
        key = rotate(_folder(), cast("Use", use), datetime.now(UTC), timedelta(hours=overlap_hours))
        click.echo(f"The {use} key is {key.kid} from now on.")


def _folder() -> Path:
    return Path(load_settings().keys)
