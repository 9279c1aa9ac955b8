"""Steps that accept a reported event: store its receipt, update the person's record, mark the receipt as applied.

Each step may be repeated, and the receipt holds all that the others need, so that a sweep completes an event that a
crash interrupted.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import msgspec
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument
from backend.city.person import find_or_create_person
from backend.city.service import City
from backend.i18n import Text
from backend.services.health_code.model import (
    EventIdReused,
    HealthEventReceipt,
    HealthRecord,
    NothingToWithdraw,
    apply_reports,
    withdraw_report,
)
from backend.services.health_code.records import update_record
from backend.services.health_code.reports import Event, Report, Withdrawal
from backend.store.time import in_utc, to_ms
from backend.store.update import insert_or_get, update_document

COMPLETION_TIMEOUT = timedelta(seconds=30)
"""An event that is not applied by then was interrupted, and is due for the sweep."""


async def accept_event(
    city: City, source: str, event_id: str, event: Event | Withdrawal, id_number: IdentityDocument
) -> Literal["applied", "repeated"]:
    """Accept an event of a source and apply it, once. Raises EventIdReused or NothingToWithdraw."""
    now = city.now()
    person = await find_or_create_person(city.store, city.encryption, id_number, now)
    key = event_key(city, source, event_id)
    event = in_utc(event)
    payload = city.encryption.digest("health-event", f"{person.id}\n{msgspec.json.encode(event).decode()}")
    withdraws = event_key(city, source, event.of) if isinstance(event, Withdrawal) else None
    receipt = HealthEventReceipt(
        id=key,
        payload=payload,
        person=person.id,
        event=None if isinstance(event, Withdrawal) else event,
        withdraws=withdraws,
        due_ms=to_ms(now + COMPLETION_TIMEOUT),
    )
    existing = await city.store.get(HealthEventReceipt, key)
    if existing is None:
        if withdraws is not None:
            await _check_withdrawal(city, person.id, withdraws)
        existing = await insert_or_get(city.store, receipt)
    if existing.payload != payload:
        raise EventIdReused(
            Text(
                zh="同一编号的事件已报告过，但内容不同，请使用新的编号。",
                en="An event with this id and another content was reported before; use a new id.",
            )
        )
    if existing.applied:
        return "repeated"
    await apply_receipt(city, replace(receipt, revision=existing.revision), now)
    return "applied"


async def apply_receipt(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Apply the event of a receipt to the person's record and mark the receipt; idempotent."""
    if receipt.withdraws is not None:
        await _mark_applied(city, receipt.withdraws)  # or it could still be applied after its withdrawal
        change = partial(_remove_event, key=receipt.withdraws, city=city, now=now)
    else:
        assert receipt.event is not None, "a receipt that is not applied has an event or withdraws one"
        change = partial(_add_event, report=Report(receipt.event, receipt.id), city=city, now=now)
    await update_record(city, receipt.person, now, change)
    await _mark_applied(city, receipt.id)


async def _mark_applied(city: City, key: str) -> None:
    """Mark an event as applied, so that it is not applied again after its withdrawal."""

    def applied(receipt: HealthEventReceipt) -> HealthEventReceipt:
        return receipt if receipt.applied else replace(receipt, applied=True, event=None, due_ms=None)

    await update_document(city.store, lambda: city.store.get(HealthEventReceipt, key), applied)


async def _check_withdrawal(city: City, person: str, key: str) -> None:
    record = await city.store.get(HealthRecord, person)
    if record is None or all(report.key != key for report in record.reports):
        raise NothingToWithdraw(
            Text(
                zh="没有可以撤回的事件，请核对事件编号。",
                en="There is no such event of this source and person to withdraw; check its id.",
            )
        )


def _add_event(record: HealthRecord, report: Report, city: City, now: datetime) -> HealthRecord:
    if any(existing.key == report.key for existing in record.reports):
        return record
    return apply_reports(record, [report], city.rulebook, now)


def _remove_event(record: HealthRecord, key: str, city: City, now: datetime) -> HealthRecord:
    if all(report.key != key for report in record.reports):
        return record
    return withdraw_report(record, key, city.rulebook, now)


def event_key(city: City, source: str, event_id: str) -> str:
    """Return our own id of an event, so that the ids of sources, which may be personal, are stored nowhere."""
    return city.encryption.digest("health-event", f"{source}\n{event_id}")
