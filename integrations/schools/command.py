"""`chengma schools`: import the plans of education bureaus, each completely or not at all, and report all faults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.cli.in_city import run_in_city
from backend.i18n import Text
from backend.services.school_lookup.editions import previous_edition, read_edition, store_plan
from backend.services.school_lookup.facts import AdmissionFacts
from backend.services.school_lookup.model import SchoolEdition, SchoolPlan
from backend.services.school_lookup.plan import plan_to_wgs84, shape_of
from backend.services.school_lookup.plan_check import Fault, faults_of
from backend.services.school_lookup.synthetic_district import synthetic_plan
from integrations.schools.plan_folder import FolderReader, write_folder

if TYPE_CHECKING:
    from datetime import datetime

    from backend.city.service import City
    from backend.services.school_lookup.plan import Plan

MAX_PRINTED_FAULTS = 200
FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def schools() -> None:
    """Import, check and list the school plans of education bureaus."""


@schools.command("import")
@FOLDER
@click.option("--check", is_flag=True, help="Only check; store nothing.")
def import_(folder: Path, check: bool) -> None:
    """Check the plan in FOLDER and put it in force for its district and year.

    Each fault names its feature; any fault rejects the whole plan with exit code 1.
    """
    reader = FolderReader(folder)
    plan = reader.plan()
    if plan is None:
        _reject(reader.faults)
    else:
        heading = plan.heading
        edition, faults = run_in_city(lambda city: _import_plan(city, plan, check=check))
        if faults:
            _reject(faults)
        result = "No faults; nothing was stored" if check else f"In force as edition {edition[:16]}"
        click.echo(f"{heading.district} {heading.year}: {_counts(plan)}. {result}.")


def _counts(plan: Plan) -> str:
    return f"{len(plan.schools)} schools, {len(plan.catchments)} catchments, {len(plan.addresses):,} addresses"


async def _import_plan(city: City, plan: Plan, *, check: bool) -> tuple[str, list[Fault]]:
    previous = await previous_edition(city.store, plan.heading)
    converted = plan_to_wgs84(plan, plan.heading.coordinates)
    converted = replace(converted, heading=replace(plan.heading, coordinates="WGS84"))
    faults = [*_missing_rules(city, plan), *faults_of(converted, shape_of(previous.boundary) if previous else None)]
    if faults or check:
        return "", faults
    return await store_plan(city.store, converted, city.now()), []


def _missing_rules(city: City, plan: Plan) -> list[Fault]:
    name = f"school_lookup.{plan.heading.batches}"
    module = city.rulebook.modules.get(name)
    if module is not None and module.facts is AdmissionFacts:
        return []
    text = Text(zh=f"没有录取批次规则{name}", en=f"There is no rule module {name} that assigns children to batches")
    return [Fault("plan", "unreadable", text)]


def _reject(faults: list[Fault]) -> None:
    table = Table("feature", "fault", "description")
    for fault in sorted(faults)[:MAX_PRINTED_FAULTS]:
        table.add_row(escape(fault.feature), fault.kind, escape(f"{fault.text.en} · {fault.text.zh}"))
    Console().print(table)
    if len(faults) > MAX_PRINTED_FAULTS:
        click.echo(f"and {len(faults) - MAX_PRINTED_FAULTS} more")
    count = len(faults)
    raise click.ClickException(f"{count} fault{'s' if count > 1 else ''}; nothing was stored")


@schools.command()
@FOLDER
@click.option("--year", type=click.IntRange(2000, 2100), required=True, help="The year of admission.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same map.")
def synthesize(folder: Path, year: int, seed: int) -> None:
    """Write the plan of a synthetic district to FOLDER, as an example to import."""
    plan = synthetic_plan(year, seed)
    try:
        write_folder(plan, folder)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{_counts(plan)} in {folder}")


@schools.command("list")
def list_() -> None:
    """List the plans in force, with their sources."""

    async def read(city: City) -> list[tuple[datetime, SchoolEdition]]:
        time_zone = ZoneInfo(city.settings.time_zone)
        newest = [pointer.imported[-1] async for pointer in city.store.scan(SchoolPlan)]
        return [(one.at.astimezone(time_zone), await read_edition(city.store, one.edition)) for one in newest]

    for since, edition in run_in_city(read):
        heading = edition.heading
        click.echo(
            f"{heading.code}  {heading.year}  {heading.district}  {edition.id[:16]}  "
            f"since {since.isoformat(' ', 'minutes')}  {heading.source}"
        )
