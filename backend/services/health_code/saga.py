"""Steps that accept a reported event: store its receipt, update the person's record, mark the receipt as applied.

Each step may be repeated, and the receipt holds all that the others need, so that a sweep completes an event that a
crash interrupted.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import UNSET
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
from backend.services.health_code.reports import Event, Report, SampleTested, Withdrawal, append_reports
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
    event = in_utc(event)
    receipt = _receipt(city, source, event_id, event, person.id, now)
    existing = await city.store.get(HealthEventReceipt, receipt.id)
    if existing is None:
        if receipt.withdraws is not None:
            await _check_withdrawal(city, person.id, receipt.withdraws)
        existing = await insert_or_get(city.store, receipt)
    if existing.payload != receipt.payload:
        raise EventIdReused(
            Text(
                zh="同一编号的事件已报告过，但内容不同，请使用新的编号。",
                en="An event with this id and another content was reported before; use a new id.",
            )
        )
    if existing.applied:
        await _restore(city, receipt, now)
        return "repeated"
    await apply_receipt(city, replace(receipt, revision=existing.revision), now)
    return "applied"


def _receipt(
    city: City, source: str, event_id: str, event: Event | Withdrawal, person: str, now: datetime
) -> HealthEventReceipt:
    """Return the receipt of an event before it is applied."""
    content = msgspec.json.encode(event).decode()
    receipt = HealthEventReceipt(
        id=event_key(city, source, event_id),
        payload=city.encryption.digest("health-event", f"{person}\n{content}"),
        person=person,
        due_ms=to_ms(now + COMPLETION_TIMEOUT),
        received_ms=to_ms(now),
    )
    match event:
        case Withdrawal(of):
            return replace(receipt, withdraws=event_key(city, source, of))
        case SampleTested(test, _, sampled_at):
            identity = f"{test} {sampled_at}" if event.sample_id is UNSET else event.sample_id
            kind = "health-sample-time" if event.sample_id is UNSET else "health-sample"
            sample = city.encryption.digest(kind, f"{source}\n{identity}")
            return replace(receipt, event=replace(event, sample_id=UNSET), sample=sample)
        case _:
            return replace(receipt, event=event)


async def apply_receipt(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Apply the event of a receipt to the person's record and mark the receipt; idempotent."""
    if receipt.withdraws is not None:
        await _mark_applied(city, receipt.withdraws)  # or it could still be applied after its withdrawal
        await _remove_event(city, receipt.person, receipt.withdraws, now)
        await _mark_applied(city, receipt.id)
        return
    await _add_event(city, receipt, now)
    if not await _mark_applied(city, receipt.id) and await _is_withdrawn(city, receipt.id):
        await _remove_event(city, receipt.person, receipt.id, now)


async def _restore(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Add an event that is sent again to a record that lost it because of its limits, unless it was withdrawn."""
    record = await city.store.get(HealthRecord, receipt.person)
    if receipt.event is None or (record is not None and _contains(record, receipt.id)):
        return
    if not await _is_withdrawn(city, receipt.id):
        await _add_event(city, receipt, now)
        if await _is_withdrawn(city, receipt.id):  # meanwhile
            await _remove_event(city, receipt.person, receipt.id, now)


async def _mark_applied(city: City, key: str) -> bool:
    """Mark an event as applied, so that it is not applied again after its withdrawal; return whether it was not."""
    is_new = False

    def applied(receipt: HealthEventReceipt) -> HealthEventReceipt:
        nonlocal is_new
        is_new = not receipt.applied
        return replace(receipt, applied=True, event=None, sample=None, due_ms=None) if is_new else receipt

    await update_document(city.store, lambda: city.store.get(HealthEventReceipt, key), applied)
    return is_new


async def _check_withdrawal(city: City, person: str, key: str) -> None:
    """Check that an event of the person can be withdrawn, also if the record discarded it. Raises NothingToWithdraw."""
    event = await city.store.get(HealthEventReceipt, key)
    if event is None:  # its receipt has ended, but the report may be in force
        record = await city.store.get(HealthRecord, person)
        may_withdraw = record is not None and _contains(record, key)
    else:
        may_withdraw = event.person == person and event.withdraws is None and not await _is_withdrawn(city, key)
    if not may_withdraw:
        raise NothingToWithdraw(
            Text(
                zh="没有可以撤回的事件，请核对事件编号。",
                en="There is no such event of this source and person to withdraw; check its id.",
            )
        )


async def _is_withdrawn(city: City, key: str) -> bool:
    return bool((await city.store.find(HealthEventReceipt, {"withdraws": key}, limit=1)).documents)


async def _add_event(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    assert receipt.event is not None, "a receipt that is not applied has an event or withdraws one"
    report = Report(receipt.event, receipt.id, receipt.sample)

    def add(record: HealthRecord) -> HealthRecord:
        if _contains(record, receipt.id) or append_reports(record.reports, [report]) == record.reports:
            return record
        return apply_reports(record, [report], city.rulebook, now)

    await update_record(city, receipt.person, now, add)


async def _remove_event(city: City, person: str, key: str, now: datetime) -> None:
    def remove(record: HealthRecord) -> HealthRecord:
        return withdraw_report(record, key, city.rulebook, now) if _contains(record, key) else record

    await update_record(city, person, now, remove)


def _contains(record: HealthRecord, key: str) -> bool:
    return any(report.key == key for report in record.reports)


def event_key(city: City, source: str, event_id: str) -> str:
    """Return our own id of an event, so that the ids of sources, which may be personal, are stored nowhere."""
    return city.encryption.digest("health-event", f"{source}\n{event_id}")
