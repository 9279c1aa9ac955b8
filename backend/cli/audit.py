"""The commands of auditors: verify the audit log, show its entries, and print its signed head."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
import msgspec

from backend.city.audit_chain import head_of, remembered_statement
from backend.city.audit_log import AuditEntry, act_of, city_act, entry_of
from backend.city.audit_verification import Fault, KeptStatement, read_statements, verify_log
from backend.city.id_number import InvalidIdNumber, parse_id_number
from backend.city.person import find_person
from backend.cli.errors import load_settings, report_errors
from backend.cli.operations import with_store
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring
from backend.store import Order
from backend.store.connect import store_file
from backend.store.paging import find_all
from backend.store.time import to_the_millisecond

if TYPE_CHECKING:
    from backend.settings import Settings
    from backend.store import Store

MAX_SHOWN = 100_000
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Verify and read the audit log: who did what, in which role, when, to what and why."""


@audit.command()
@click.option("--roots", type=FILE, help="File of signed statements that were kept elsewhere, one a line.")
@click.option("--keys", "jwks", type=FILE, help="File with the city's public keys; by default its folder of keys.")
def verify(roots: Path | None, jwks: Path | None) -> None:
    """Verify the whole audit log; exits with 1 at the first fault, and names its place.

    Finds an entry or block that was edited, removed, moved or added, and blocks that the city did not sign. A log that
    was cut is found with what was kept outside the store: the statements in --roots (from `chengma audit head`,
    /v1/audit/head or /v1/audit/days), and the last one that the folder of keys remembers.
    """
    settings = _settings_of_a_city()
    with report_errors():
        keyring = Keyring.open(Path(settings.keys)) if jwks is None or Path(settings.keys).is_dir() else None
        trusted = _read_keys(jwks) if jwks is not None else _own_keys(keyring)
        try:
            kept = _kept(roots, trusted, keyring)
            zone = ZoneInfo(settings.time_zone)
            log = with_store(settings, lambda store: verify_log(store, trusted, kept, datetime.now(UTC), zone))
        except Fault as fault:
            raise click.ClickException(str(fault)) from fault
        except msgspec.ValidationError as error:
            raise click.ClickException(f"a block or an entry cannot be read: {error}") from error
    waiting = f"; {log.waiting} entries wait to be chained" if log.waiting else ""
    click.echo(
        f"The audit log is intact: {log.entries:,} entries in {log.blocks:,} blocks, {log.days:,} closed days, "
        f"{log.kept} kept statements{waiting}."
    )


def _settings_of_a_city() -> Settings:
    """Return the settings, after checking that an embedded store exists: opening it would create one."""
    settings = load_settings()
    file = store_file(settings.store)
    if file is not None and not file.is_file():
        raise click.ClickException(f"{file}: there is no such file, so there is no city")
    return settings


def _own_keys(keyring: Keyring | None) -> dict[str, Any]:
    assert keyring is not None, "without --keys the folder is opened"
    return keyring.jwks("audit")


def _read_keys(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise click.ClickException(f"{path} is not a JSON Web Key Set: {error}") from error


def _kept(roots: Path | None, jwks: dict[str, Any], keyring: Keyring | None) -> list[KeptStatement]:
    kept: list[KeptStatement] = []
    if roots is not None:
        kept.extend(read_statements(roots.read_text(encoding="utf-8").splitlines(), jwks, str(roots)))
    remembered = None if keyring is None else remembered_statement(keyring)
    if keyring is not None and remembered is not None:
        kept.extend(read_statements([remembered], jwks, f"the folder of keys {keyring.folder}"))
    return kept


@audit.command()
def head() -> None:
    """Print the signed head of the log, one line: append it to a file on another machine, as often as you like."""
    settings = _settings_of_a_city()
    with report_errors():
        last = with_store(settings, head_of)
    if last is None:
        raise click.ClickException("the audit log is empty")
    click.echo(last.statement)


@audit.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Entries of this day in the city; by default of today.")
@click.option("--account", help="Entries of acts of this account.")
@click.option("--about", help="Entries about this person, account or other object, by its id.")
@click.option("--person", is_flag=True, help="Entries about the person with an ID number, which is asked for.")
@click.option("--action", help="Entries of this action, such as account.roles_granted.")
@click.option("--limit", default=1_000, show_default=True, type=click.IntRange(1, MAX_SHOWN))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def show(*, as_json: bool, limit: int, person: bool, day: datetime | None, **filters: str | None) -> None:
    """Show entries, newest first: by day, account, object, person or action, which may be combined."""
    settings = _settings_of_a_city()
    with report_errors():
        wanted = {"day": day and day.date().isoformat(), "account": filters["account"], "action": filters["action"]}
        wanted |= {"subject": filters["about"]}
        if person:
            wanted["subject"] = with_store(settings, _find_person(settings))
        where = {name: value for name, value in wanted.items() if value is not None}
        where = where or {"day": datetime.now(ZoneInfo(settings.time_zone)).date().isoformat()}
        found = with_store(settings, lambda store: _find(settings, store, where, limit))
    for entry in found:
        click.echo(_as_json(entry) if as_json else _line(entry, ZoneInfo(settings.time_zone)))
    if not as_json:
        click.echo(f"{len(found)} entries.")


def _find_person(settings: Settings) -> Any:  # noqa: ANN401  a function of a store
    """Return the function that finds the id of the person whose ID number is typed; it is in no argument or history."""
    text = click.prompt("ID number", hide_input=True)
    try:
        number = parse_id_number(text, datetime.now(ZoneInfo(settings.time_zone)).date())
    except InvalidIdNumber as error:
        raise click.ClickException(error.detail.en) from error
    encryption = FieldEncryption(Keyring.open(Path(settings.keys)))

    async def find(store: Store) -> str:
        found = await find_person(store, encryption, number)
        if found is None:
            raise click.ClickException("the city knows no person with this ID number")
        return found.id

    return find


async def _find(settings: Settings, store: Store, where: dict[str, str], limit: int) -> list[AuditEntry]:
    """Return the entries that meet all conditions; that they were read is an entry too."""
    indexed = next(name for name in ("subject", "account", "day", "action") if name in where)
    found: list[AuditEntry] = []
    async for entry in find_all(store, AuditEntry, {indexed: where[indexed]}, Order("sort_key", "descending")):
        if all(getattr(entry, name) == value for name, value in where.items()):
            found.append(entry)
            if len(found) == limit:
                break
    at, zone = datetime.now(UTC), ZoneInfo(settings.time_zone)
    read = city_act("audit.read", " ".join(where.values()), to_the_millisecond(at))
    await store.insert(entry_of(read, zone, at))
    return found


def _line(entry: AuditEntry, zone: ZoneInfo) -> str:
    about = f"{entry.about}{f' of {entry.person}' if entry.person else ''}"
    reason = f"  ({entry.reason})" if entry.reason else ""
    block = f"block {entry.block}" if entry.block is not None else "not chained yet"
    local = entry.at.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}  {entry.action:32}{entry.account} as {entry.role}: {about}{reason}  [{block}]"


def _as_json(entry: AuditEntry) -> str:
    act = msgspec.to_builtins(act_of(entry))
    return json.dumps({**act, "block": entry.block}, ensure_ascii=False)
