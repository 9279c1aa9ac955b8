"""Taking a reported event: the receipt, the person's record, the mark on the receipt.

Each step may be repeated, and the receipt holds all that the others need, so that a sweep finishes what a crash has
interrupted.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import msgspec
from msgspec.structs import replace

from backend.city.person import IdNumber, profile_for
from backend.city.service import City
from backend.i18n import Text
from backend.services.health_code.model import (
    EventChanged,
    HealthEventReceipt,
    HealthRecord,
    NothingToWithdraw,
    take_reports,
    withdraw_report,
)
from backend.services.health_code.records import change_record
from backend.services.health_code.reports import Event, Report, Withdrawal
from backend.store import Conflict, Duplicate
from backend.store.time import in_utc

FINISHED_WITHIN = timedelta(seconds=30)
"""What is not finished then was interrupted, and falls due to the sweep."""


async def take_event(
    city: City, source: str, event_id: str, event: Event | Withdrawal, id_number: IdNumber
) -> Literal["applied", "repeated"]:
    """Take an event of a source, once. Raises EventChanged or NothingToWithdraw."""
    now = city.now()
    profile = await profile_for(city.store, city.encryption, id_number, now)
    key = event_key(city, source, event_id)
    said: Event | Withdrawal = in_utc(event)
    payload = city.encryption.digest("health-event", f"{profile.id}\n{msgspec.json.encode(said).decode()}")
    withdraws = event_key(city, source, said.of) if isinstance(said, Withdrawal) else None
    receipt = HealthEventReceipt(
        id=key,
        payload=payload,
        person=profile.id,
        said=None if isinstance(said, Withdrawal) else said,
        withdraws=withdraws,
        due_ms=int((now + FINISHED_WITHIN).timestamp() * 1_000),
    )
    known = await city.store.get(HealthEventReceipt, key)
    if known is None:
        if withdraws is not None:
            await _refuse_empty_withdrawal(city, profile.id, withdraws)
        try:
            known = await city.store.insert(receipt)
        except Duplicate:
            known = await city.store.get(HealthEventReceipt, key)
            assert known is not None, "receipts are not deleted"
    if known.payload != payload:
        raise EventChanged(
            Text(zh="同一编号的事件内容不同。", en="An event with this id was reported before and said something else.")
        )
    if known.applied:
        return "repeated"
    await finish_event(city, replace(receipt, revision=known.revision), now)
    return "applied"


async def finish_event(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Do what a receipt says and mark it; done before, it changes nothing."""
    if receipt.withdraws is not None:
        await _mark_applied(city, receipt.withdraws)  # or it could be applied after it was withdrawn
        change = partial(_without, key=receipt.withdraws, city=city, now=now)
    else:
        assert receipt.said is not None, "what is not applied and withdraws nothing says something"
        change = partial(_with, report=Report(receipt.said, receipt.id), city=city, now=now)
    await change_record(city, receipt.person, now, change)
    await _mark_applied(city, receipt.id)


async def _mark_applied(city: City, key: str) -> None:
    """Mark an event as applied, so that it is not applied again after it was withdrawn."""
    receipt = await city.store.get(HealthEventReceipt, key)
    if receipt is not None and not receipt.applied:
        with suppress(Conflict):  # somebody else sent the same event and marked it first
            await city.store.replace(replace(receipt, applied=True, said=None, due_ms=None))


async def _refuse_empty_withdrawal(city: City, person: str, key: str) -> None:
    record = await city.store.get(HealthRecord, person)
    if record is None or all(report.key != key for report in record.reports):
        raise NothingToWithdraw(
            Text(
                zh="没有可以撤回的事件。", en="The source has reported no such event of this person that still stands."
            )
        )


def _with(record: HealthRecord, report: Report, city: City, now: datetime) -> HealthRecord:
    if any(known.key == report.key for known in record.reports):
        return record
    return take_reports(record, [report], city.rulebook, now)


def _without(record: HealthRecord, key: str, city: City, now: datetime) -> HealthRecord:
    if all(report.key != key for report in record.reports):
        return record
    return withdraw_report(record, key, city.rulebook, now)


def event_key(city: City, source: str, event_id: str) -> str:
    """Name an event for ourselves, so that what a source writes into its ids is kept nowhere."""
    return city.encryption.digest("health-event", f"{source}\n{event_id}")
