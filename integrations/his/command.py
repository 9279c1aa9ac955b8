"""`chengma his`: run the MLLP listener, manage messages that were not processed, and connect hospitals."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import click
import msgspec
from msgspec.structs import replace

from backend.city.audit_log import city_act, record_act, with_act
from backend.city.service import City
from backend.cli.errors import load_settings, report_errors
from backend.cli.in_city import run_in_city
from backend.services.medical_credit.model.hospital import HisMessage, Hospital
from backend.services.medical_credit.ports import Inbox
from backend.store import Order
from backend.store.time import to_ms
from integrations.his.conformance.command import conformance
from integrations.his.hl7v2.listener_process import run_listener
from integrations.his.hl7v2.message_receiver import raw_message
from integrations.his.reconcile_command import reconcile_
from integrations.his.unsettled_command import unsettled

if TYPE_CHECKING:
    from backend.services.medical_credit.model.hospital import MessageState

T = TypeVar("T")

STATES: tuple[MessageState, ...] = ("failed", "waiting", "received", "done")
_PERSONAL = re.compile(r"^(PID|NK1|GT1|IN1)([^\r\n]*)", re.MULTILINE)
_LETTERS = re.compile(r"[^\W_]")


@click.group()
def his() -> None:
    """Connect hospitals, run the MLLP listener, and manage messages."""


his.add_command(conformance)
his.add_command(reconcile_)
his.add_command(unsettled)


@his.command("listen")
def listen_() -> None:
    """Listen for HL7 v2 messages over MLLP until interrupted.

    Address, port and TLS are settings (CHENGMA_MLLP_...). Every message is stored before it is acknowledged.
    """
    with report_errors():
        run_listener(load_settings())


@his.group()
def messages() -> None:
    """Manage messages that wait for another message, or failed."""


@messages.command("list")
@click.option("--state", default="failed", show_default=True, type=click.Choice(STATES))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000))
def list_messages(state: MessageState, limit: int) -> None:
    """List the messages in a state, newest first, with the reason."""

    async def read(city: City) -> list[HisMessage]:
        newest = Order("received_ms", "descending")
        return (await city.store.find(HisMessage, {"state": state}, order=newest, limit=limit)).documents

    found = run_in_city(read)
    for one in found:
        at = datetime.fromtimestamp(one.received_ms / 1_000, UTC)
        click.echo(
            f"{one.id}  {at:%Y-%m-%d %H:%M:%S}  {one.hospital}  {one.kind}  {one.control_id}  {one.reason or ''}"
        )
    hint = " `chengma his messages show ID` shows a message, `retry ID` processes it again." if found else ""
    click.echo(f"{len(found)} messages in state {state}.{hint}")


@messages.command("show")
@click.argument("message_id")
@click.option("--whole", is_flag=True, help="Show patient identifiers, which are masked by default.")
def show_message(message_id: str, whole: bool) -> None:
    """Show a message as it was received, and its reply."""

    async def read(city: City) -> tuple[HisMessage, bytes]:
        stored = await _find(city, message_id)
        await record_act(city, city_act("medical_credit.message_read", message_id, city.now()))
        return stored, raw_message(city, stored)

    stored, raw = run_in_city(read)
    text = _readable(raw)
    click.echo(text if whole else _PERSONAL.sub(lambda found: found[1] + _LETTERS.sub("*", found[2]), text))
    click.echo(f"\n{stored.state}, attempts: {stored.attempts}{f', reason: {stored.reason}' if stored.reason else ''}")
    if stored.answer:
        click.echo(f"\n{stored.answer.replace(chr(13), chr(10)).rstrip()}")


def _readable(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("gb18030", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip()


@messages.command("retry")
@click.argument("message_id")
def retry_message(message_id: str) -> None:
    """Process a message again; the original answer does not change."""

    async def work(city: City) -> tuple[str | None, HisMessage]:
        await _find(city, message_id)
        await record_act(city, city_act("medical_credit.message_retried", message_id, city.now()))
        state = await city.port(Inbox).retry(city, message_id)
        return state, await _find(city, message_id)

    state, stored = run_in_city(work)
    reason = f": {stored.reason}" if stored.reason else ""
    click.echo(f"{stored.kind} {stored.control_id} of {stored.hospital} is {state}{reason}")
    if state == "failed":
        raise click.exceptions.Exit(1)


async def _find(city: City, message_id: str) -> HisMessage:
    stored = await city.store.get(HisMessage, message_id)
    if stored is None:
        raise click.ClickException(f"message {message_id} not found; `chengma his messages list` lists messages")
    return stored


@his.group()
def hospitals() -> None:
    """Connect and disconnect hospitals."""


@hospitals.command("add")
@click.argument("code")
@click.argument("name")
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with its public keys (JWK Set) for FHIR.",
)
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    type=click.Choice(["utf-8", "gb18030"]),
    help="Encoding of messages without MSH-18.",
)
@click.option(
    "--acknowledgement",
    default="by_message",
    show_default=True,
    type=click.Choice(["by_message", "original", "enhanced"]),
    help="Acknowledgement mode: by MSH-15 and MSH-16 of each message, or one mode for all messages.",
)
@click.option("--certificate", help="Common name in the certificate of its MLLP client.")
@click.option("--institution", default="", help="Its code at the insurance (fixmedins_code), twelve characters.")
@click.option(
    "--settles",
    default="city",
    show_default=True,
    type=click.Choice(["city", "hospital"]),
    help="Who settles its visits at the insurance: the city, or the hospital, which reports the result.",
)
def add(code: str, name: str, jwks: Path | None, **connection: Any) -> None:  # noqa: ANN401  click's options
    """Connect the hospital CODE (MSH-4 and FHIR client id), or change its connection."""
    keys = _public_keys(jwks) if jwks is not None else None

    async def work(city: City) -> bool:
        known = await city.store.get(Hospital, code)
        now_ms = to_ms(city.now())
        new = Hospital(id=code, name=name, since_ms=now_ms, jwks=keys or {"keys": []}, **connection)
        if known is None:
            await city.store.insert(with_act(new, city_act("medical_credit.hospital_connected", code, city.now())))
            return True
        changed = replace(
            new,
            revision=known.revision,
            since_ms=known.since_ms,
            jwks=keys or known.jwks,
            scopes=known.scopes,
            acts=known.acts,
        )
        await city.store.replace(with_act(changed, city_act("medical_credit.hospital_changed", code, city.now())))
        return False

    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", code):
        raise click.ClickException("a hospital code has at most 64 characters: letters, digits, `.`, `_` and `-`")
    click.echo(f"{code} {name} is {'connected' if run_in_city(work) else 'updated'}.")


class _KeySet(msgspec.Struct):
    """A JSON Web Key Set (RFC 7517); the members of its keys are flat."""

    keys: Annotated[list[dict[str, str | int | float | list[str] | None]], msgspec.Meta(min_length=1)]


def _public_keys(path: Path) -> dict[str, Any]:
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=_KeySet).keys
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not a JSON Web Key Set: {error}") from error
    if any("d" in key or "k" in key for key in keys):
        raise click.ClickException(f"{path} contains a private key; it must contain public keys only")
    return {"keys": keys}


@hospitals.command("list")
def list_hospitals() -> None:
    """List all hospitals with their connection settings."""

    async def read(city: City) -> list[Hospital]:
        return (await city.store.find(Hospital, {}, order=Order("since_ms"), limit=1_000)).documents

    for one in run_in_city(read):
        state = "" if one.enabled else "  disconnected"
        click.echo(f"{one.id:12}{one.encoding:10}{one.acknowledgement:12}{one.certificate or '-':20}{one.name}{state}")


@hospitals.command("disable")
@click.argument("code")
def disable(code: str) -> None:
    """Disconnect a hospital at once; its visits are kept. `add` connects it again."""

    async def work(city: City) -> None:
        known = await city.store.get(Hospital, code)
        if known is None:
            raise click.ClickException(f"hospital {code} not found; `chengma his hospitals list` lists hospitals")
        act = city_act("medical_credit.hospital_disconnected", code, city.now())
        await city.store.replace(with_act(replace(known, enabled=False), act))

    run_in_city(work)
    click.echo(f"{code} is disconnected.")
