"""The `chengma` command. Each subcommand imports what it needs, so that each starts fast."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from backend.cli.errors import BadSettings, load_settings, report_errors
from backend.settings import Settings, settings_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.security.keyring import Use


class LazyGroup(click.Group):
    """The commands that live in other modules, imported when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        added: list[str] = []
        with suppress(BadSettings, ImportError):  # whoever asks for help is helped; `serve` says what is wrong
            added.extend(_added())
        return sorted([*super().list_commands(ctx), *_LATER, *added])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give one command."""
        if cmd_name in _LATER:
            module, name = _LATER[cmd_name]
            return cast("click.Command", getattr(importlib.import_module(module), name))
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        added = _added().get(cmd_name)
        return None if added is None else added()


_LATER = {
    "rules": ("backend.cli.rules", "rules"),
    "migrate": ("backend.cli.operations", "migrate_"),
    "copy": ("backend.cli.operations", "copy_"),
    "jobs": ("backend.cli.operations", "jobs"),
    "worker": ("backend.cli.operations", "worker"),
    "beat": ("backend.cli.operations", "beat"),
}


def _added() -> dict[str, Callable[[], click.Command]]:
    """Give what integrations add; they are imported only where no command of ours is meant. Raises BadSettings."""
    from backend.city.service import discover_commands

    return discover_commands(load_settings().integrations)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def chengma() -> None:
    """Run the services of a city: sign-in, health codes and the rules behind them.

    Settings are read from environment variables; `chengma settings` lists them.
    """


CITIZENS = click.option(
    "--citizens", default=5_000, show_default=True, type=click.IntRange(1, 5_000_000), help="How many people to invent."
)
SEED = click.option(
    "--seed", "chance", default=1, show_default=True, type=int, help="The same seed invents the same people."
)


@chengma.command()
def serve() -> None:
    """Serve the API until interrupted.

    Writes one line of JSON for each request to standard output, without personal data.
    """
    _serve(load_settings())


@chengma.command()
@CITIZENS
@SEED
def demo(citizens: int, chance: int) -> None:
    """Invent a small city, tell how to sign in, and serve it.

    The city is kept: a second run starts in seconds, with the same people and whatever they did since. Codes sent by
    text message can be read at /v1/development/outbox.
    """
    from msgspec.structs import replace

    from backend.cli.demo import prepare

    settings = replace(load_settings(), development=True)
    with report_errors():
        prepare(settings, citizens, chance)
    _serve(settings)


@chengma.command()
@CITIZENS
@SEED
def seed(citizens: int, chance: int) -> None:
    """Fill the store with invented people.

    What is there already stays. A run that was interrupted is continued by the next one.
    """
    from backend.cli.demo import fill

    with report_errors():
        fill(load_settings(), citizens, chance)


@chengma.command()
def openapi() -> None:
    """Print the OpenAPI document as YAML."""
    from backend.web.openapi import as_yaml, contract_of

    click.echo(as_yaml(contract_of(Settings())), nl=False)


@chengma.command()
def settings() -> None:
    """Print the table of settings, with their defaults."""
    click.echo(settings_table(), nl=False)


@chengma.command()
@click.argument("payload")
@click.option(
    "--keys",
    "jwks",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The city's public keys, as /.well-known/jwks.json gives them.",
)
@click.option(
    "--skew", default=30, show_default=True, type=click.IntRange(0, 120), help="Seconds that clocks may differ."
)
def verify(payload: str, jwks: Path, skew: int) -> None:
    """Verify the PAYLOAD of a health code offline, with nothing but the city's public keys.

    Exits with 0 if the code is valid, whatever its colour, and with 1 if it is expired or forged. Only the city itself
    can tell whether a code was used before or its colour has changed since.
    """
    from backend.services.health_code.code import STYLES, read_code

    try:
        keys = json.loads(jwks.read_bytes())
    except ValueError as error:
        raise click.ClickException(f"{jwks} is no JSON Web Key Set: {error}") from error
    if not isinstance(keys, dict):
        raise click.ClickException(f"{jwks} is no JSON Web Key Set: it holds no object")
    reading = read_code(payload.strip(), cast("dict[str, Any]", keys), datetime.now(UTC), skew)
    click.echo(reading.outcome.upper())
    if reading.outcome != "forged":
        sign = STYLES[reading.claims.colour]
        click.echo(f"{sign.label.zh} {sign.label.en} ({sign.shape})")
        click.echo(f"counts from {reading.claims.issued_at} to {reading.claims.expires_at}")
    sys.exit(0 if reading.outcome == "valid" else 1)


@chengma.group()
def keys() -> None:
    """Make, list, publish and rotate the city's keys."""


@keys.command("make")
def make() -> None:
    """Make the keys that are missing; the others stay."""
    from backend.security.keyring import make_keys

    with report_errors():
        make_keys(Path(load_settings().keys))


@keys.command("list")
def list_() -> None:
    """List the keys that still count, without their secrets."""
    from backend.security.keyring import Keyring

    with report_errors():
        counting = Keyring.open(Path(load_settings().keys)).keys()
        for key in counting:
            until = f"until {key.retires:%Y-%m-%d %H:%M} UTC" if key.retires else "current"
            click.echo(f"{key.use:8}{key.kid:8}{key.created:%Y-%m-%d %H:%M} UTC  {until}")


@keys.command("publish")
def publish() -> None:
    """Print the public keys with which anybody verifies codes, as a JSON Web Key Set."""
    from backend.security.keyring import Keyring

    with report_errors():
        click.echo(json.dumps(Keyring.open(Path(load_settings().keys)).jwks(), indent=2))


@keys.command("rotate")
@click.argument("use", type=click.Choice(["code", "token", "field"]))
@click.option(
    "--overlap-hours",
    default=24,
    show_default=True,
    type=click.IntRange(0, 24 * 365),
    help="How long the old key still verifies.",
)
def rotate_(use: str, overlap_hours: int) -> None:
    """Bring in a new key; running servers notice within seconds.

    The old one verifies until its overlap ends, so that nobody is signed out. Old `field` keys decrypt for ever.
    """
    from backend.security.keyring import rotate

    with report_errors():
        made = rotate(Path(load_settings().keys), cast("Use", use), datetime.now(UTC), timedelta(hours=overlap_hours))
        click.echo(f"The {use} key is {made.kid} from now on.")


def _serve(settings: Settings) -> None:
    import uvicorn

    from backend.app import create_app, documents_of, facts_of
    from backend.city.service import discover_services
    from backend.cli.preflight import check_before_serving
    from backend.operations.access_log import log_as_json_lines
    from backend.store.migrations import find_migrations

    with report_errors():
        app = create_app(settings)
        services = discover_services()
        check_before_serving(settings, documents_of(services), facts_of(services), find_migrations())
    app.state.city.rulebook.compile()
    log_as_json_lines()
    _spare_the_collector()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=10,
    )


def _spare_the_collector() -> None:
    """Let Python look for garbage seldom, and never among what is there for good: a tenth of a request's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def main() -> None:
    """Run the command."""
    chengma(prog_name="chengma")


if __name__ == "__main__":
    main()
