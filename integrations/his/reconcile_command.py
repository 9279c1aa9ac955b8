"""`chengma his reconcile`: compare a hospital's file for a day with our records, the insurance and the bank."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from backend.city.audit_log import city_act, record_act
from backend.city.upstream import UpstreamTimeout
from backend.cli.in_city import run_in_city
from backend.i18n import yuan
from backend.problems import Problem
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import decode_file
from backend.services.medical_credit.model.reconciliation import DIFFERENCE_TITLES, REPAIR_TITLES
from backend.services.medical_credit.reconciliation import our_records, reconcile

if TYPE_CHECKING:
    from backend.city.audit_log import Act
    from backend.city.service import City
    from backend.services.medical_credit.model.reconciliation import Reconciliation


@click.command("reconcile")
@click.argument("hospital")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--encoding",
    type=click.Choice(["utf-8", "gb18030"]),
    help="Encoding of FILE; GBK is part of gb18030. Without it, UTF-8 is tried first.",
)
def reconcile_(hospital: str, day: datetime, file: Path | None, encoding: str | None) -> None:
    """Compare the FILE of a HOSPITAL for a DAY with our visits, the insurance and the bank.

    Without FILE, print our records in the same format. Exits with 1 if anything differs; operators and approvers
    resolve it through the API.
    """
    if file is None:
        records = run_in_city(lambda city: _our_records(city, hospital, day))
        click.echo(records, nl=False)
        if records.count("\n") == 1:
            click.echo(f"No visit of {hospital} was settled on {day.date()}, from midnight in the city.", err=True)
        return
    try:
        text = decode_file(file.read_bytes(), encoding)
        found = run_in_city(lambda city: _compare(city, hospital, day, text))
    except (Problem, UpstreamTimeout) as error:
        faults = "".join(f"\n  {one.pointer}: {one.detail}" for one in getattr(error, "errors", ()))
        raise click.ClickException(f"{error}{faults}") from error
    _print(found)
    if found.open_differences():
        raise click.exceptions.Exit(1)


async def _hospital(city: City, code: str) -> Hospital:
    found = await city.store.get(Hospital, code)
    if found is None:
        raise click.ClickException(f"hospital {code} not found; `chengma his hospitals list` lists hospitals")
    return found


async def _our_records(city: City, hospital: str, day: datetime) -> str:
    found = await _hospital(city, hospital)
    await record_act(city, _act(city, "medical_credit.records_exported", hospital, day))
    return await our_records(city, found, day.date())


async def _compare(city: City, hospital: str, day: datetime, text: str) -> Reconciliation:
    act = _act(city, "medical_credit.day_reconciled", hospital, day)
    return await reconcile(city, await _hospital(city, hospital), day.date(), text, act)


def _act(city: City, action: str, hospital: str, day: datetime) -> Act:
    return city_act(action, f"{hospital} {day.date()}", city.now())


def _print(found: Reconciliation) -> None:
    totals = found.totals
    click.echo(
        f"{found.hospital} {found.day}: {totals.visits} visits. Yuan: total medical fees {yuan(totals.medfee_fen)}, "
        f"insurance fund {yuan(totals.fund_fen)}, personal accounts {yuan(totals.account_fen)}, cash shares "
        f"{yuan(totals.cash_fen)}; payable to the hospital {yuan(totals.payout_fen)}."
    )
    if not found.differences:
        click.echo("No differences.")
        return
    table = Table("visit", "difference", "ours", "theirs", "repair", "state")
    for one in found.differences:
        ours, theirs = ("-" if fen is None else yuan(fen) for fen in (one.ours_fen, one.theirs_fen))
        state = found.resolution(one.id).state
        title = DIFFERENCE_TITLES[one.kind]
        told = title if one.detail is None else f"{title}\n{one.detail.zh}\n{one.detail.en}"
        table.add_row(one.number, told, ours, theirs, REPAIR_TITLES[one.repair], state)
    Console().print(table)
    click.echo(f"Open differences: {len(found.open_differences())} of {len(found.differences)}.")
