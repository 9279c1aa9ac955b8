"""The commands that manage the city's keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast

import click

from backend.cli.errors import load_settings, report_errors
from backend.security.keyring import PUBLICATION_LEAD, ROTATED, Key, Keyring, Use, make_keys, rotate


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
        keyring = Keyring.open(_folder())
        active = keyring.keys()
        for key in active:
            click.echo(f"{key.use:8}{key.kid:8}{_minute(key.created)}  {_state(key, keyring)}")


@keys.command("publish")
@click.option("--use", default="code", show_default=True, type=click.Choice(["code", "audit"]))
def publish(use: Literal["code", "audit"]) -> None:
    """Print the public keys that verify codes, or the audit log, as a JSON Web Key Set."""
    with report_errors():
        click.echo(json.dumps(Keyring.open(_folder()).jwks(use), indent=2))


@keys.command("rotate")
@click.argument("use", type=click.Choice(ROTATED))
@click.option(
    "--overlap-hours",
    default=24,
    show_default=True,
    type=click.IntRange(0, 24 * 365),
    help="How long the old key still verifies once the new one signs.",
)
@click.option("--at-once", is_flag=True, help="Sign with the new key immediately: only if the old one was stolen.")
def rotate_(use: str, overlap_hours: int, at_once: bool) -> None:
    """Add a new key: it is published now, and signs in ten minutes.

    By then every process knows it, and so does everyone with a cached key set. With --at-once, anyone who verifies
    offline must fetch the key set again to know the key of a new code. The old key verifies until its overlap ends, so
    that nobody is signed out. Old `field` keys decrypt, and old `audit` keys verify, permanently.
    """
    with report_errors():
        lead = timedelta() if at_once else PUBLICATION_LEAD
        key = rotate(_folder(), cast("Use", use), datetime.now(UTC), timedelta(hours=overlap_hours), lead)
        if key.signs_from is None:
            click.echo(f"The {use} key is {key.kid} from now on.")
        else:
            click.echo(f"The {use} key {key.kid} is published from now on, and in use from {_minute(key.signs_from)}.")


def _state(key: Key, keyring: Keyring) -> str:
    if key.signs_from is not None and key.signs_from > datetime.now(UTC):
        return f"from {_minute(key.signs_from)}"
    states = ["current"] if key == keyring.current(key.use) else []
    return ", ".join([*states, *([f"until {_minute(key.retires)}"] if key.retires else [])])


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _folder() -> Path:
    return Path(load_settings().keys)
