"""The commands that manage gateways: backends of mini-programs, which call the city for many end users."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from backend.city.audit_log import city_act, record_act
from backend.city.service import City
from backend.cli.in_city import run_in_city
from backend.security.gateways import Gateway, add_gateway, remove_gateway
from backend.security.request_proofs import parse_public_key

_NAME = r"[a-z0-9][a-z0-9-]{0,62}"


@click.group()
def gateways() -> None:
    """Register the backends of mini-programs, whose requests are counted by end user."""


@gateways.command("add")
@click.argument("name")
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--requests-per-minute", default=60_000, show_default=True, type=click.IntRange(1))
def add(name: str, key: Path, requests_per_minute: int) -> None:
    """Register a gateway with the public JSON Web Key in a file; a registered one gets the new key and budget."""
    if not re.fullmatch(_NAME, name):
        raise click.BadParameter("use small letters, digits and hyphens", param_hint="NAME")
    try:
        public = parse_public_key(json.loads(key.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{key}: {error}", param_hint="KEY") from error

    async def work(city: City) -> None:
        await record_act(city, city_act("gateways.added", name, city.now()))
        await add_gateway(city.store, name, public, requests_per_minute, city.now())

    run_in_city(work)
    click.echo(f"{name} is registered with the key {public.thumbprint}. All processes know it within five seconds.")


@gateways.command("list")
def list_() -> None:
    """List the gateways with the thumbprints of their keys and their budgets."""

    async def read(city: City) -> list[Gateway]:
        return [gateway async for gateway in city.store.scan(Gateway)]

    for gateway in run_in_city(read):
        budget = f"{gateway.requests_per_minute} a minute"
        click.echo(f"{gateway.id:24} {gateway.public_key.thumbprint}  {budget:>16}  since {gateway.created:%Y-%m-%d}")


@gateways.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a gateway; its proofs are refused within five seconds."""

    async def work(city: City) -> bool:
        await record_act(city, city_act("gateways.removed", name, city.now()))
        return await remove_gateway(city.store, name)

    if not run_in_city(work):
        raise click.ClickException(f"there is no gateway {name!r}; `chengma gateways list` lists them")
    click.echo(f"{name} is removed.")
