"""The demonstration: a synthetic city, and how to sign in as some of its citizens and staff.

What it prints is declared by the services; see `Service.demo`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from click import echo
from rich.console import Console
from rich.progress import Progress

from backend.app import discover_parts, documents_of, open_city
from backend.city.binding import bind_city
from backend.city.person import Person
from backend.city.service import (
    City,
    Demo,
    DemoAccounts,
    DemoOutput,
    DemoPerson,
    DemoStaff,
    Service,
)
from backend.cli.synthetic_data import fill_city
from backend.security.keyring import make_keys
from backend.settings import Settings
from backend.store.connect import display_address, prepare_store
from backend.store.migrations import find_migrations, migrate


def fill_and_show(settings: Settings, citizens: int, seed: int) -> None:
    """Fill the city with synthetic people, and print how to sign in. Raises what `fill` raises."""
    asyncio.run(_fill(settings, citizens, seed, shows=True))


def fill(settings: Settings, citizens: int, seed: int) -> None:
    """Fill the city with synthetic people. Raises what `discover_parts` or `open_city` raises."""
    asyncio.run(_fill(settings, citizens, seed, shows=False))


async def _fill(settings: Settings, citizens: int, seed: int, *, shows: bool) -> None:
    parts = discover_parts(settings)
    services = parts.services
    prepare_store(settings.store, documents_of(services))
    make_keys(Path(settings.keys))
    city = open_city(settings, services, parts.integrations)
    try:
        await migrate(city.store, find_migrations(), lambda _migration, _seen: None, rebind=city.encryption.rebind)
        await bind_city(city.store, city.keys, display_address(settings.store))
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Creating a city", total=None, visible=False)
            new = await fill_city(
                city,
                services,
                citizens,
                seed,
                lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            )
        known = await city.store.count(Person, {})
        echo(f"{known:,} citizens, {new:,} of them new, are stored in {display_address(settings.store)}.")
        if shows:
            await _show(city, services)
    finally:
        await city.store.close()


async def _show(city: City, services: Sequence[Service]) -> None:
    demos = [service.demo for service in services if service.demo is not None]
    accounts = next((demo.accounts for demo in demos if demo.accounts is not None), None)
    if accounts is None:
        return

    def people() -> AsyncIterator[DemoPerson]:
        return accounts.people(city)

    outputs = [await demo.show(city, people) for demo in demos if demo.show is not None]
    echo("\nPeople to sign in as:\n")
    for line in [*_people_lines(outputs), *await _staff_lines(city, demos, accounts)]:
        echo(f"  {line}")
    for output in outputs:
        for note in output.notes:
            echo(note)
    address = f"http://{city.settings.host}:{city.settings.port}"
    echo(f"The API reference: {address}/reference")


def _people_lines(outputs: Sequence[DemoOutput]) -> list[str]:
    return [line for output in outputs for line in output.people]


async def _staff_lines(city: City, demos: Sequence[Demo], accounts: DemoAccounts) -> list[str]:
    """Enter the staff of all services, unless the city has real operators, and return a line for each, by phone."""
    staff = sorted((member for demo in demos for member in demo.staff), key=lambda member: member.phone)
    accounts_of_staff = {
        member.phone: await accounts.grant(city, member.phone, (member.role,), member.venues) for member in staff
    }
    granted = {phone: account.id for phone, account in accounts_of_staff.items() if account is not None}
    for demo in demos:
        if demo.assign is not None:
            await demo.assign(city, granted)
    return [_staff_line(member) for member in staff if member.phone in granted]


def _staff_line(member: DemoStaff) -> str:
    venues = f" at {', '.join(member.venues)}" if member.venues else ""
    return f"{member.phone.removeprefix('+86')}  {member.title}{venues}"
