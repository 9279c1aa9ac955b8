"""`chengma his`: run the MLLP listener, manage messages that were not processed, and connect hospitals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from backend.city.audit_log import city_act, record_act
from backend.city.service import City
from backend.cli.errors import load_settings, report_errors
from backend.cli.in_city import run_in_city
from backend.services.medical_credit.model.hospital import HisMessage
from backend.services.medical_credit.ports import Inbox
from backend.store import Order
from backend.store.time import from_ms
from integrations.his.conformance.command import conformance
from integrations.his.hl7v2.listener_process import run_listener
from integrations.his.hl7v2.message_receiver import raw_message
from integrations.his.hospitals_command import hospitals
from integrations.his.reconcile_command import reconcile_
from integrations.his.send_commands import assertion, key_, send
from integrations.his.try_command import try_
from integrations.his.unsettled_command import unsettled

if TYPE_CHECKING:
    from backend.services.medical_credit.model.hospital import MessageState

STATES: tuple[MessageState, ...] = ("failed", "waiting", "received", "ignored", "done")
_PERSONAL = re.compile(r"^(PID|NK1|GT1|IN1)([^\r\n]*)", re.MULTILINE)
_LETTERS = re.compile(r"[^\W_]")


@click.group()
def his() -> None:
    """Connect hospitals, run the MLLP listener, and manage messages."""


his.add_command(conformance)
his.add_command(reconcile_)
his.add_command(hospitals)
his.add_command(unsettled)
his.add_command(send)
his.add_command(key_)
his.add_command(assertion)
his.add_command(try_)


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
        at = from_ms(one.received_ms)
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
    """Process a message again; if it succeeds and the hospital repeats it, it gets AA."""

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
