"""`chengma schools`: take in what an education bureau publishes, all of it or nothing, with a report of every fault."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.i18n import Text
from backend.services.school_lookup.checking import Fault, faults_of
from backend.services.school_lookup.facts import AdmissionFacts
from backend.services.school_lookup.invented_district import invented_plan
from backend.services.school_lookup.model import Imported, SchoolEdition, SchoolPlan
from backend.services.school_lookup.plan import read_as, shape_of
from backend.services.school_lookup.plans import edition_before, keep_plan, read_edition
from integrations._commands import run_in_city
from integrations.schools.folder import Reading, write_folder

if TYPE_CHECKING:
    from backend.city.service import City
    from backend.services.school_lookup.plan import Plan

MAX_SHOWN = 200
FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def schools() -> None:
    """Take in and list the plans of schools and catchments that education bureaus publish."""


@schools.command("import")
@FOLDER
@click.option("--check", is_flag=True, help="Only check; store nothing.")
def import_(folder: Path, check: bool) -> None:
    """Check the plan in FOLDER, and let it count for its district and year.

    Every fault is told with the feature that has it; one is enough to refuse all, with exit code 1.
    """
    reading = Reading(folder)
    plan = reading.plan()
    if plan is None:
        _refuse(reading.faults)
    else:
        head = plan.heading
        edition, faults = run_in_city(lambda city: _take_in(city, plan, check=check))
        if faults:
            _refuse(faults)
        counts = f"{len(plan.schools)} schools, {len(plan.zones)} zones; {len(plan.addresses):,} addresses agree"
        done = "sound, and not stored" if check else f"in force as edition {edition[:16]}"
        click.echo(f"{head.district} {head.year}: {counts}. It is {done}.")


async def _take_in(city: City, plan: Plan, *, check: bool) -> tuple[str, list[Fault]]:
    before = await edition_before(city.store, plan.heading)
    placed = read_as(plan, plan.heading.coordinates)
    placed = replace(placed, heading=replace(plan.heading, coordinates="WGS84"))
    faults = [*_rules_missing(city, plan), *faults_of(placed, shape_of(before.boundary) if before else None)]
    if faults or check:
        return "", faults
    return await keep_plan(city.store, placed, city.now()), []


def _rules_missing(city: City, plan: Plan) -> list[Fault]:
    name = f"school_lookup.{plan.heading.batches}"
    module = city.rulebook.modules.get(name)
    if module is not None and module.facts is AdmissionFacts:
        return []
    text = Text(zh=f"没有批次规则 {name}", en=f"There is no rule module {name} that puts children in batches")
    return [Fault("plan", "unreadable", text)]


def _refuse(faults: list[Fault]) -> None:
    table = Table("feature", "fault", "what is wrong")
    for fault in sorted(faults)[:MAX_SHOWN]:
        table.add_row(escape(fault.feature), fault.kind, escape(f"{fault.text.en} · {fault.text.zh}"))
    Console().print(table)
    if len(faults) > MAX_SHOWN:
        click.echo(f"and {len(faults) - MAX_SHOWN} more")
    count = len(faults)
    raise click.ClickException(f"{count} fault{'s' if count > 1 else ''}; nothing was stored")


@schools.command()
@FOLDER
@click.option("--year", type=click.IntRange(2000, 2100), required=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed draws the same map.")
def invent(folder: Path, year: int, seed: int) -> None:
    """Write the invented district's plan of a YEAR to FOLDER, to try an import with."""
    plan = invented_plan(year, seed)
    try:
        write_folder(plan, folder)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(plan.schools)} schools, {len(plan.zones)} zones, {len(plan.addresses):,} addresses in {folder}")


@schools.command("list")
def list_() -> None:
    """List the plans that count, with the source of each."""

    async def read(city: City) -> list[tuple[Imported, SchoolEdition]]:
        newest = [pointer.imported[-1] async for pointer in city.store.scan(SchoolPlan)]
        return [(since, await read_edition(city.store, since.edition)) for since in newest]

    for since, edition in run_in_city(read):
        head = edition.heading
        click.echo(
            f"{head.code}  {head.year}  {head.district}  {since.edition[:16]}  since {since.at:%Y-%m-%d %H:%M} UTC  "
            f"{head.source}"
        )
