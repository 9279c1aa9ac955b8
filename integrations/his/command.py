"""`chengma his`: the listener for hospitals' messages, the messages that wait, and the hospitals themselves."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from msgspec.structs import replace

from backend.city.service import City
from backend.cli.errors import load_settings, report_errors
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.message import HisMessage
from backend.services.medical_credit.ports import Inbox
from backend.store import Order
from integrations._commands import run_in_city
from integrations.his.conformance.command import conformance
from integrations.his.hl7v2.inbox import raw_of
from integrations.his.hl7v2.listen import listen
from integrations.his.reconcile_command import reconcile_

if TYPE_CHECKING:
    from backend.services.medical_credit.model.message import MessageState

T = TypeVar("T")

STATES: tuple[MessageState, ...] = ("failed", "waiting", "received", "done")
_PERSONAL = re.compile(r"^(PID|NK1|GT1|IN1)([^\r\n]*)", re.MULTILINE)
_LETTERS = re.compile(r"[^\W_]")


@click.group()
def his() -> None:
    """Connect hospitals, listen to their systems, and look after their messages."""


his.add_command(conformance)
his.add_command(reconcile_)


@his.command("listen")
def listen_() -> None:
    """Listen for HL7 v2 messages over MLLP until interrupted.

    Address, port and TLS are settings (CHENGMA_MLLP_...). Every message is stored before it is answered.
    """
    with report_errors():
        listen(load_settings())


@his.group()
def messages() -> None:
    """Look after messages that wait for another one, or could not be carried out."""


@messages.command("list")
@click.option("--state", default="failed", show_default=True, type=click.Choice(STATES))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000))
def list_messages(state: MessageState, limit: int) -> None:
    """List messages in a state, the newest first, with the reason."""

    async def read(city: City) -> list[HisMessage]:
        newest = Order("received_ms", "descending")
        return (await city.store.find(HisMessage, {"state": state}, order=newest, limit=limit)).documents

    found = run_in_city(read)
    for one in found:
        at = datetime.fromtimestamp(one.received_ms / 1_000, UTC)
        click.echo(
            f"{one.id}  {at:%Y-%m-%d %H:%M:%S}  {one.hospital}  {one.kind}  {one.control_id}  {one.reason or ''}"
        )
    advice = " `chengma his messages show ID` shows one, `retry ID` tries it again." if found else ""
    click.echo(f"{len(found)} messages are {state}.{advice}")


@messages.command("show")
@click.argument("message_id")
@click.option("--whole", is_flag=True, help="With what identifies the patient, which is masked otherwise.")
def show_message(message_id: str, whole: bool) -> None:
    """Show a message as it came, and what was answered."""

    async def read(city: City) -> tuple[HisMessage, bytes]:
        kept = await _kept(city, message_id)
        return kept, raw_of(city, kept)

    kept, raw = run_in_city(read)
    text = _readable(raw)
    click.echo(text if whole else _PERSONAL.sub(lambda found: found[1] + _LETTERS.sub("*", found[2]), text))
    click.echo(f"\n{kept.state} after {kept.attempts} tries{f': {kept.reason}' if kept.reason else ''}")
    if kept.answer:
        click.echo(f"\n{kept.answer.replace(chr(13), chr(10)).rstrip()}")


def _readable(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("gb18030", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip()


@messages.command("retry")
@click.argument("message_id")
def retry_message(message_id: str) -> None:
    """Try a message again; what it was answered stays as it was."""

    async def work(city: City) -> tuple[str | None, HisMessage]:
        await _kept(city, message_id)
        state = await city.port(Inbox).retry(city, message_id)
        return state, await _kept(city, message_id)

    state, kept = run_in_city(work)
    click.echo(
        f"{kept.kind} {kept.control_id} of {kept.hospital} is {state}{f': {kept.reason}' if kept.reason else ''}"
    )
    if state == "failed":
        raise click.exceptions.Exit(1)


async def _kept(city: City, message_id: str) -> HisMessage:
    kept = await city.store.get(HisMessage, message_id)
    if kept is None:
        raise click.ClickException(f"there is no message {message_id}; `chengma his messages list` lists them")
    return kept


@his.group()
def hospitals() -> None:
    """Connect hospitals, and disconnect them."""


@hospitals.command("add")
@click.argument("code")
@click.argument("name")
@click.option("--jwks", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its public keys for FHIR.")
@click.option("--encoding", default="utf-8", show_default=True, type=click.Choice(["utf-8", "gb18030"]))
@click.option(
    "--acknowledgement",
    default="by_message",
    show_default=True,
    type=click.Choice(["by_message", "original", "enhanced"]),
    help="By MSH-15 and MSH-16 of each message, or one mode for all.",
)
@click.option("--certificate", help="The common name of its MLLP client's certificate.")
def add(code: str, name: str, jwks: Path | None, **speaks: Any) -> None:  # noqa: ANN401  click's options
    """Connect the hospital CODE (MSH-4), or change how it is connected."""
    keys = _public_keys(jwks) if jwks is not None else None

    async def work(city: City) -> bool:
        known = await city.store.get(Hospital, code)
        now_ms = int(city.now().timestamp() * 1_000)
        made = Hospital(id=code, name=name, since_ms=now_ms, jwks=keys or {"keys": []}, **speaks)
        if known is None:
            await city.store.insert(made)
            return True
        changed = replace(
            made, revision=known.revision, since_ms=known.since_ms, jwks=keys or known.jwks, scopes=known.scopes
        )
        await city.store.replace(changed)
        return False

    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", code):
        raise click.ClickException("a hospital's code has letters, digits, `.`, `_` and `-`, 64 at most")
    click.echo(f"{code} {name} is {'connected' if run_in_city(work) else 'changed'}.")


def _public_keys(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise click.ClickException(f"{path} is no JSON: {error}") from error
    keys = cast("dict[str, Any]", found).get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not keys:
        raise click.ClickException(f"{path} is no JSON Web Key Set: it holds no keys")
    for key in cast("list[dict[str, Any]]", keys):
        if "d" in key or "k" in key:
            raise click.ClickException(f"{path} holds a private key; only public keys are handed over")
    return cast("dict[str, Any]", found)


@hospitals.command("list")
def list_hospitals() -> None:
    """List the hospitals that are connected."""

    async def read(city: City) -> list[Hospital]:
        return (await city.store.find(Hospital, {}, order=Order("since_ms"), limit=1_000)).documents

    for one in run_in_city(read):
        state = "" if one.enabled else "  disconnected"
        click.echo(f"{one.id:12}{one.encoding:10}{one.acknowledgement:12}{one.certificate or '-':20}{one.name}{state}")


@hospitals.command("disable")
@click.argument("code")
def disable(code: str) -> None:
    """Disconnect a hospital at once; its visits stay. `add` connects it again."""

    async def work(city: City) -> None:
        known = await city.store.get(Hospital, code)
        if known is None:
            raise click.ClickException(f"there is no hospital {code}; `chengma his hospitals list` lists them")
        await city.store.replace(replace(known, enabled=False))

    run_in_city(work)
    click.echo(f"{code} is disconnected.")
