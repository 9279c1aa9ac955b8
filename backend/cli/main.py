"""The `chengma` command. Each subcommand imports what it needs, so that each starts fast."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import click

from backend.cli.errors import BadSettings, load_settings, report_errors
from backend.settings import Settings, settings_table

if TYPE_CHECKING:
    from collections.abc import Callable


class LazyGroup(click.Group):
    """A group whose commands live in other modules, which are imported when a command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        added: list[str] = []
        with suppress(BadSettings, ImportError):  # help always works; `serve` reports what is wrong
            added.extend(_integration_commands())
        return sorted([*super().list_commands(ctx), *_LAZY_COMMANDS, *added])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        if cmd_name in _LAZY_COMMANDS:
            module, name = _LAZY_COMMANDS[cmd_name]
            return cast("click.Command", getattr(importlib.import_module(module), name))
        own_command = super().get_command(ctx, cmd_name)
        if own_command is not None:
            return own_command
        added = _integration_commands().get(cmd_name)
        return None if added is None else added()


_LAZY_COMMANDS = {
    "rules": ("backend.cli.rules", "rules"),
    "migrate": ("backend.cli.operations", "migrate_"),
    "copy": ("backend.cli.operations", "copy_"),
    "jobs": ("backend.cli.operations", "jobs"),
    "retention": ("backend.cli.operations", "retention"),
    "worker": ("backend.cli.operations", "worker"),
    "beat": ("backend.cli.operations", "beat"),
    "keys": ("backend.cli.keys", "keys"),
    "gateways": ("backend.cli.gateways", "gateways"),
    "audit": ("backend.cli.audit", "audit"),
    "staff": ("backend.cli.staff", "staff"),
    "verify": ("backend.cli.verify", "verify"),
    "login": ("backend.cli.login", "login"),
    "logout": ("backend.cli.login", "logout"),
}


def _integration_commands() -> dict[str, Callable[[], click.Command]]:
    """Return the commands of integrations, which are imported only if the command is not ours. Raises BadSettings."""
    from backend.city.service import discover_commands

    return discover_commands(load_settings().integrations)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def chengma() -> None:
    """Run the services of a city: sign-in, health codes and the rules behind them.

    Settings are read from environment variables; `chengma settings` lists them.
    """


CITIZENS = click.option(
    "--citizens",
    default=5_000,
    show_default=True,
    type=click.IntRange(1, 5_000_000),
    help="Number of people to create.",
)
SEED = click.option(
    "--seed", "seed_number", default=1, show_default=True, type=int, help="The same seed creates the same people."
)


@chengma.command()
def serve() -> None:
    """Serve the API until interrupted.

    Writes one JSON line per request to standard output, without personal data.
    """
    from backend.cli.server import bind, run_server

    settings = load_settings()
    with report_errors():
        bound = bind(settings)
    run_server(settings, bound)


@chengma.command()
@CITIZENS
@SEED
def demo(citizens: int, seed_number: int) -> None:
    """Create a synthetic city, print how to sign in, and serve it.

    The city is stored: a second run starts in seconds, with the same people and all their data. Codes
    sent by text message can be read at /v1/development/outbox.
    """
    from msgspec.structs import replace

    from backend.cli.demo import fill_and_show
    from backend.cli.server import bind, run_server

    settings = replace(load_settings(), development=True)
    with report_errors():
        bound = bind(settings)
        fill_and_show(settings, citizens, seed_number)
    address = f"http://{settings.host}:{settings.port}"
    run_server(settings, bound, lambda: click.echo(f"Serving at {address}; Ctrl-C stops.\n"))


@chengma.command()
@CITIZENS
@SEED
def seed(citizens: int, seed_number: int) -> None:
    """Fill the store with synthetic people.

    Existing documents are kept. The next run resumes an interrupted one.
    """
    from backend.cli.demo import fill

    with report_errors():
        fill(load_settings(), citizens, seed_number)


@chengma.command()
def openapi() -> None:
    """Print the OpenAPI document as YAML."""
    from backend.web.openapi import as_yaml, discovered_document

    click.echo(as_yaml(discovered_document(Settings())), nl=False)


@chengma.command()
def settings() -> None:
    """Print the table of settings, with their defaults."""
    click.echo(settings_table(), nl=False)
