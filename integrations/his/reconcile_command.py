"""`chengma his reconcile`: a hospital's file of a day against our visits, the insurance and the bank."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from backend.city.upstream import UpstreamTimeout
from backend.i18n import yuan
from backend.problems import Problem
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.reconciliation_page import KINDS, REPAIRS
from backend.services.medical_credit.reconciling import our_side, reconcile
from integrations._commands import run_in_city

if TYPE_CHECKING:
    from backend.city.service import City
    from backend.services.medical_credit.model.reconciliation import Reconciliation


@click.command("reconcile")
@click.argument("hospital")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--encoding", default="utf-8", show_default=True, type=click.Choice(["utf-8", "gb18030"]))
def reconcile_(hospital: str, day: datetime, file: Path | None, encoding: str) -> None:
    """Compare the FILE of a HOSPITAL for a DAY with our visits, the insurance and the bank.

    Without FILE, prints our own side in the file's form. Exits with 1 where anything differs; operators and approvers
    mend it through the API.
    """
    if file is None:
        click.echo(run_in_city(lambda city: _ours(city, hospital, day)), nl=False)
        return
    try:
        text = file.read_text(encoding=encoding)
        found = run_in_city(lambda city: _compare(city, hospital, day, text))
    except (Problem, UpstreamTimeout, UnicodeDecodeError) as error:
        faults = "".join(f"\n  {one.pointer}: {one.detail}" for one in getattr(error, "errors", ()))
        raise click.ClickException(f"{error}{faults}") from error
    _print(found)
    if found.open_breaks():
        raise click.exceptions.Exit(1)


async def _hospital(city: City, code: str) -> Hospital:
    found = await city.store.get(Hospital, code)
    if found is None:
        raise click.ClickException(f"there is no hospital {code}; `chengma his hospitals list` lists them")
    return found


async def _ours(city: City, hospital: str, day: datetime) -> str:
    return await our_side(city, await _hospital(city, hospital), day.date())


async def _compare(city: City, hospital: str, day: datetime, text: str) -> Reconciliation:
    return await reconcile(city, await _hospital(city, hospital), day.date(), text)


def _print(found: Reconciliation) -> None:
    sums = found.totals
    click.echo(
        f"{found.hospital} {found.day}: {sums.visits} visits, medical fees {yuan(sums.medfee_fen)}, fund "
        f"{yuan(sums.fund_fen)}, accounts {yuan(sums.account_fen)}, cash {yuan(sums.cash_fen)}; owed to the hospital "
        f"{yuan(sums.payout_fen)} yuan."
    )
    if not found.breaks:
        click.echo("All sides agree.")
        return
    table = Table("break", "visit", "subject", "ours", "theirs", "repair", "state")
    for one in found.breaks:
        ours, theirs = ("-" if fen is None else yuan(fen) for fen in (one.ours_fen, one.theirs_fen))
        state = found.handling(one.id).state
        table.add_row(KINDS[one.kind], one.number, one.subject, ours, theirs, REPAIRS[one.repair], state)
    Console().print(table)
    click.echo(f"{len(found.open_breaks())} of {len(found.breaks)} breaks are open.")
