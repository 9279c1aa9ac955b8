"""The `chengma` command. Each subcommand imports what it needs, so that each starts fast."""

from __future__ import annotations

import click

from backend.settings import Settings, settings_table

BAD_SETTINGS = 2


class RulesGroup(click.Group):
    """The commands for rule authors, imported when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return _rules().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give one command."""
        return _rules().get_command(ctx, cmd_name)


def _rules() -> click.Group:
    from backend.rules_command import rules

    return rules


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="chengma", prog_name="chengma")
def chengma() -> None:
    """Run the services of a city: sign-in, health codes and the rules behind them.

    Settings are read from environment variables; `chengma settings` lists them.
    """


chengma.add_command(RulesGroup("rules", help="Check, test and explain the rule modules."))


@chengma.command()
def serve() -> None:
    """Serve the API until interrupted. Writes one line of JSON per request to standard output."""
    _serve(_settings())


@chengma.command()
@click.option("--citizens", default=5_000, show_default=True, type=click.IntRange(20, 10_000_000), help="How many.")
@click.option("--seed", default=1, show_default=True, help="The same seed invents the same city.")
def demo(citizens: int, seed: int) -> None:
    """Invent a small city, tell how to sign in, and serve it with the development outbox open.

    The city is kept: a second run starts in seconds with the same people and whatever they did since.
    """
    from msgspec.structs import replace

    from backend.demo import prepare

    settings = replace(_settings(), development=True)
    _with_rules(lambda: prepare(settings, citizens, seed))
    _serve(settings)


@chengma.command()
@click.option("--citizens", default=5_000, show_default=True, type=click.IntRange(20, 10_000_000), help="How many.")
@click.option("--seed", "chance", default=1, show_default=True, help="The same seed invents the same city.")
def seed(citizens: int, chance: int) -> None:
    """Fill the store with invented citizens. What is there already stays; an interrupted run is continued."""
    from backend.demo import fill

    _with_rules(lambda: fill(_settings(), citizens, chance))


@chengma.command()
def openapi() -> None:
    """Print the OpenAPI document as YAML."""
    from backend.contract import as_yaml, contract_of

    click.echo(as_yaml(contract_of(Settings())), nl=False)


@chengma.command()
def settings() -> None:
    """Print the table of settings."""
    click.echo(settings_table(), nl=False)


@chengma.group()
def keys() -> None:
    """List the city's signing keys, publish them, or bring in new ones."""
