"""The commands about staff: enter the first two operators, list who has which role, propose grants from a table."""

from __future__ import annotations

import csv
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import click

from backend.city.service import City
from backend.cli.errors import load_settings
from backend.cli.in_city import run_in_city
from backend.csv_cells import read_cell
from backend.problems import Problem
from backend.services.account.api.staff_schemas import MAX_ROWS
from backend.services.account.bootstrap import BootstrapRefused, bootstrap_operators
from backend.services.account.model.account import masked_phone, standing_of
from backend.services.account.staff import list_staff

COLUMNS = ("phone", "roles", "venues", "reason")
TIMEOUT_SECONDS = 60


@click.group()
def staff() -> None:
    """Enter the first operators of a city, and list and propose the roles of staff."""


@staff.command()
@click.argument("first_phone")
@click.argument("second_phone")
def bootstrap(first_phone: str, second_phone: str) -> None:
    """Make the holders of two phones the first operators of a city; this works once.

    They are two people. If the city has one operator, from an earlier edition, one of the phones is theirs. Their role
    is in force once each has signed in and proved their identity in person. All other roles are proposed by one
    operator and approved by another, over the API. An interrupted run is resumed by the same command.
    """

    async def enter(city: City) -> None:
        await bootstrap_operators(city, first_phone, second_phone)

    try:
        run_in_city(enter, may_be_new=True)
    except (BootstrapRefused, Problem) as error:
        raise click.ClickException(str(error)) from error
    click.echo("Two operators are entered. Each signs in and proves their identity in person; then they are operators.")


@staff.command("list")
@click.option("--role", help="Only accounts with this role.")
@click.option("--venue", help="Only accounts at this venue.")
def list_(role: str | None, venue: str | None) -> None:
    """List who has which roles and venues, in the order in which they joined."""

    async def lines(city: City) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await list_staff(city, role, venue, cursor)
            for one in page.documents:
                waits = "" if standing_of(one).roles == one.roles else "  (identity not yet proved in person)"
                phone = masked_phone(city.encryption.read(one, "phone"))
                found.append(f"{one.id}  {phone}  {' '.join(one.roles)}  {' '.join(one.venues)}{waits}".rstrip())
            cursor = page.cursor
            if cursor is None:
                return found

    members = run_in_city(lines, may_be_new=True)
    click.echo("\n".join([*members, f"{len(members)} members of staff."]))


@staff.command()
@click.argument("table", type=click.File(encoding="utf-8-sig"))
@click.option("--token-file", type=click.File(), required=True, help="An operator's access token; - is stdin.")
@click.option("--server", help="The city's address; by default that of the settings.")
def propose(table: IO[str], token_file: IO[str], server: str | None) -> None:
    """Propose the grants of a CSV file with the columns phone, roles, venues and reason, in an operator's name.

    Several roles or venues of a row are separated by spaces. Another operator approves them. Exits with 1 if a row is
    refused; the others are proposed.
    """
    settings = load_settings()
    address = server or f"http://{settings.host}:{settings.port}"
    token = token_file.read().strip()
    rows = list(_rows(table))
    refused = 0
    for start in range(0, len(rows), MAX_ROWS):
        batch = rows[start : start + MAX_ROWS]
        for number, result in enumerate(_post(address, token, batch), start + 2):
            if result["outcome"] == "refused":
                refused += 1
                click.echo(f"line {number}: {result['refusal']['detail']['en']}", err=True)
    click.echo(f"{len(rows) - refused} grants are proposed; another operator approves them within seven days.")
    if refused:
        raise click.ClickException(f"{refused} rows are refused")


def _rows(table: IO[str]) -> Iterator[Mapping[str, object]]:
    reader = csv.DictReader(table)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise click.ClickException(f"the table has no column {' and no column '.join(missing)}")
    for row in reader:
        cells = {name: read_cell((row[name] or "").strip()) for name in COLUMNS}
        yield cells | {name: cells[name].split() for name in ("roles", "venues")}


def _post(address: str, token: str, rows: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    request = urllib.request.Request(  # noqa: S310  the address is the operator's own
        f"{address}/v1/staff/grants/batches",
        data=json.dumps({"grants": rows}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept-Language": "en"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  likewise
            return json.load(answer)["results"]
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        places = "".join(f"; {one['pointer']}: {one['detail']}" for one in problem.get("errors", ()))
        raise click.ClickException(f"{problem['detail']}{places}") from error
    except urllib.error.URLError as error:
        raise click.ClickException(f"{address} does not answer: {error.reason}") from error
