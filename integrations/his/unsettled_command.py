"""`chengma his unsettled`: the visits for which a hospital that settles itself must act at the insurance and report."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from backend.cli.in_city import run_in_city
from backend.services.medical_credit.model.hospital_settlement import awaited_text
from backend.services.medical_credit.model.visit import Visit
from backend.store import Order
from backend.store.paging import find_all
from backend.store.time import to_ms

if TYPE_CHECKING:
    from backend.city.service import City
    from backend.i18n import Text


@click.command("unsettled")
@click.argument("hospital")
@click.option(
    "--days", default=30, show_default=True, type=click.IntRange(1, 3_650), help="Visits that changed in these days."
)
def unsettled(hospital: str, days: int) -> None:
    """List the visits of a HOSPITAL that settles itself, for which it must settle, or cancel a settlement, and report.

    Exits with 1 if there are any.
    """

    async def read(city: City) -> list[tuple[Visit, Text]]:
        changed = Order("changed_ms", at_least=to_ms(city.now() - timedelta(days=days)))
        visits = [one async for one in find_all(city.store, Visit, {"hospital": hospital}, changed)]
        return [(visit, text) for visit in visits if (text := awaited_text(visit)) is not None]

    found = run_in_city(read)
    for visit, text in found:
        click.echo(f"{visit.number}  {visit.opened_at:%Y-%m-%d}  {text.zh} {text.en}")
    click.echo(f"{len(found)} visits of {hospital} await the hospital.")
    if found:
        raise click.exceptions.Exit(1)
