"""Steps that accept a reported event: store its receipt, update the person's record, mark the receipt as applied.

An event that needs a second person waits as a proposal after the first step, and takes the others once it is approved.

Each step may be repeated, and the receipt holds all that the others need, so that a sweep completes an event that a
crash interrupted.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from backend.city.audit_log import Act, city_act, new_act, record_act, with_act
from backend.city.id_number import IdentityDocument
from backend.city.person import find_or_create_person
from backend.city.service import City
from backend.i18n import Text
from backend.security.identity import Caller
from backend.services.health_code.model import (
    EventIdReused,
    HealthEventReceipt,
    HealthRecord,
    NothingToWithdraw,
    Proposal,
    apply_reports,
    withdraw_report,
)
from backend.services.health_code.notices import notify_of_red, notify_of_withdrawal
from backend.services.health_code.proposals import (
    approve,
    closed,
    may_take_back,
    no_proposal,
    proposal_closed,
    proposed,
    reason_for_second_person,
    reject,
)
from backend.services.health_code.records import update_record
from backend.services.health_code.reports import Event, Report, SampleTested, Withdrawal, append_reports
from backend.services.health_code.sources import ReportingSource
from backend.store.time import in_utc, to_ms
from backend.store.update import insert_or_get, update_document

COMPLETION_TIMEOUT = timedelta(seconds=30)
"""An event that is not applied by then was interrupted, and is due for the sweep."""

OFFICER, APPROVER = "health_officer", "health_approver"


class Reporter(Struct, frozen=True):
    """Who reports an event: the caller, for one of the sources of their account.

    `within_bounds` says whether the source may report the event today without a second person.
    """

    caller: Caller
    source: ReportingSource
    within_bounds: bool = True


class ReportedEvent(Struct, frozen=True):
    """An event as reported: the source's id for it, its content, and whom it concerns."""

    id: str
    event: Event | Withdrawal
    id_number: IdentityDocument
    case_id: str | UnsetType = UNSET


async def accept_event(
    city: City, reporter: Reporter, reported: ReportedEvent
) -> Literal["applied", "repeated", "proposed"]:
    """Accept an event of a source and apply it, once, or keep it as a proposal if it needs a second person.

    Raises EventIdReused, NothingToWithdraw or ProposalClosed.
    """
    now = city.now()
    person = await find_or_create_person(city.store, city.encryption, reported.id_number, now)
    receipt = _receipt(city, reporter, reported, person.id, now)
    existing = await city.store.get(HealthEventReceipt, receipt.id)
    if existing is None:
        existing = await insert_or_get(city.store, await _with_decision(city, reporter, reported, receipt))
    if existing.payload != receipt.payload:
        raise EventIdReused(
            Text(
                zh="同一编号的事件已报告过，但内容不同，请使用新的编号。",
                en="An event with this id and another content was reported before; use a new id.",
            )
        )
    if existing.state in ("rejected", "expired"):
        raise proposal_closed()
    if existing.state == "proposed":
        return "proposed"
    if existing.applied:
        await _restore(city, receipt, now)
        return "repeated"
    await apply_receipt(city, existing, now)
    return "applied"


def _receipt(city: City, reporter: Reporter, reported: ReportedEvent, person: str, now: datetime) -> HealthEventReceipt:
    """Return the receipt of an event before it is applied."""
    source, event = reporter.source.name, in_utc(reported.event)
    case = "" if reported.case_id is UNSET else f"\n{reported.case_id}"
    content = msgspec.json.encode(event).decode()
    receipt = HealthEventReceipt(
        id=event_key(city, source, reported.id),
        payload=city.encryption.digest("health-event", f"{person}\n{content}{case}"),
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


async def _with_decision(
    city: City, reporter: Reporter, reported: ReportedEvent, receipt: HealthEventReceipt
) -> HealthEventReceipt:
    """Return a new receipt, accepted or as a proposal, with the act of the reporter. Raises NothingToWithdraw."""
    caller, kind = reporter.caller, event_kind(reported.event)
    takes_back = receipt.withdraws is not None and await _check_withdrawal(city, caller, receipt)
    assert reporter.source.kind is not None, "only approved sources report"
    reason = reason_for_second_person(
        reporter.source.kind,
        reported.event,
        is_own=receipt.person == caller.citizen_id,
        within_bounds=reporter.within_bounds,
    )
    if reason is not None and not takes_back:
        proposer = caller.citizen_id
        assert proposer is not None, "the guard admits only staff who are known"
        proposal = Proposal(
            caller.account_id, proposer, reporter.source.id, city.now(), kind, reason, receipt.withdraws
        )
        act = new_act(city, caller, OFFICER, "health_code.event_proposed", receipt.id, kind)
        return with_act(proposed(receipt, proposal), act)
    case = None if reported.case_id is UNSET else city.encryption.digest("health-case", reported.case_id)
    about = receipt.sample or case or receipt.id
    act = new_act(city, caller, OFFICER, "health_code.event_reported", about, kind, person=receipt.person)
    return with_act(receipt, act)


def event_kind(event: Struct) -> str:
    """Return the kind of an event, as in requests."""
    return str(event.__struct_config__.tag)


async def approve_proposal(city: City, caller: Caller, receipt_id: str) -> None:
    """Approve a proposed event, and apply it. Raises NotFound, SecondPersonRequired or NothingToWithdraw."""
    now = city.now()

    def approved(receipt: HealthEventReceipt) -> HealthEventReceipt:
        accepted = approve(receipt, caller, now)
        return with_act(accepted, _decision(city, caller, receipt, "approved"))

    receipt = await city.store.get(HealthEventReceipt, receipt_id)
    if receipt is None or receipt.state != "proposed" or receipt.proposal is None:
        raise no_proposal()
    if receipt.proposal.withdraws is not None:
        await _check_accepted(city, receipt.person, receipt.proposal.withdraws)
    receipt = await _update_receipt(city, receipt_id, approved)
    if receipt is None:
        raise no_proposal()
    await apply_receipt(city, receipt, now)


async def reject_proposal(city: City, caller: Caller, receipt_id: str) -> None:
    """Reject a proposed event. Raises NotFound or SecondPersonRequired."""
    now = city.now()

    def rejected(receipt: HealthEventReceipt) -> HealthEventReceipt:
        return with_act(reject(receipt, caller, now), _decision(city, caller, receipt, "rejected"))

    if await _update_receipt(city, receipt_id, rejected) is None:
        raise no_proposal()


async def expire_proposal(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Close a proposal that nobody decided in time."""

    def expired(receipt: HealthEventReceipt) -> HealthEventReceipt:
        if receipt.state != "proposed" or receipt.due_ms is None or receipt.due_ms > to_ms(now):
            return receipt
        return with_act(closed(receipt, "expired"), city_act("health_code.event_expired", receipt.id, now))

    await _update_receipt(city, receipt.id, expired)


def _decision(city: City, caller: Caller, receipt: HealthEventReceipt, decision: str, role: str = APPROVER) -> Act:
    assert receipt.proposal is not None, "only proposals are decided"
    action, kind = f"health_code.event_{decision}", receipt.proposal.kind
    return new_act(city, caller, role, action, receipt.id, kind, person=receipt.person)


async def _update_receipt(
    city: City, receipt_id: str, change: Callable[[HealthEventReceipt], HealthEventReceipt]
) -> HealthEventReceipt | None:
    return await update_document(city.store, lambda: city.store.get(HealthEventReceipt, receipt_id), change)


async def apply_receipt(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Apply the event of a receipt to the person's record and mark the receipt; idempotent."""
    if receipt.withdraws is not None:
        await _mark_applied(city, receipt.withdraws)  # or it could still be applied after its withdrawal
        record = await _remove_event(city, receipt.person, receipt.withdraws, now)
        event = await city.store.get(HealthEventReceipt, receipt.withdraws)
        if event is None or event.state == "accepted":  # nobody knows of a proposal that was taken back
            await notify_of_withdrawal(city, receipt, record, now)
        await _record_acts(city, receipt)
        await _mark_applied(city, receipt.id, receipt)
        return
    record, _ = await asyncio.gather(_add_event(city, receipt, now), _record_acts(city, receipt))
    await notify_of_red(city, receipt, record, now)
    if not await _mark_applied(city, receipt.id, receipt) and await _is_withdrawn(city, receipt.id):
        await _remove_event(city, receipt.person, receipt.id, now)


async def _record_acts(city: City, receipt: HealthEventReceipt) -> None:
    """Make the acts of a receipt entries of the audit log, before the write that clears them."""
    await asyncio.gather(*(record_act(city, act) for act in receipt.acts))


async def _restore(city: City, receipt: HealthEventReceipt, now: datetime) -> None:
    """Add an event that is sent again to a record that lost it because of its limits, unless it was withdrawn."""
    record = await city.store.get(HealthRecord, receipt.person)
    if receipt.event is None or (record is not None and _contains(record, receipt.id)):
        return
    if not await _is_withdrawn(city, receipt.id):
        await _add_event(city, receipt, now)
        if await _is_withdrawn(city, receipt.id):  # meanwhile
            await _remove_event(city, receipt.person, receipt.id, now)


async def _mark_applied(city: City, key: str, in_hand: HealthEventReceipt | None = None) -> bool:
    """Mark an event as applied, so that it is not applied again after its withdrawal; return whether it was not.

    A receipt `in_hand`, whose acts are in the audit log, is read again only after a conflict.
    """
    is_new = False
    logged = () if in_hand is None else in_hand.acts

    def applied(receipt: HealthEventReceipt) -> HealthEventReceipt:
        nonlocal is_new
        is_new = not receipt.applied
        if not is_new:
            return receipt
        acts = tuple(act for act in receipt.acts if act not in logged)
        due_ms = receipt.acts_due_ms if acts else None
        return replace(receipt, applied=True, event=None, sample=None, due_ms=None, acts=acts, acts_due_ms=due_ms)

    await update_document(city.store, lambda: city.store.get(HealthEventReceipt, key), applied, in_hand)
    return is_new


async def _check_withdrawal(city: City, caller: Caller, receipt: HealthEventReceipt) -> bool:
    """Check that an event can be withdrawn; return whether it was a proposal of the caller, which is closed then.

    Raises NothingToWithdraw.
    """
    assert receipt.withdraws is not None, "it is a withdrawal"

    def taken_back(event: HealthEventReceipt) -> HealthEventReceipt:
        if event.person != receipt.person or not may_take_back(event, caller):
            raise _nothing_to_withdraw()
        if event.state == "withdrawn":
            return event
        return with_act(closed(event, "withdrawn"), _decision(city, caller, event, "withdrawn", OFFICER))

    event = await city.store.get(HealthEventReceipt, receipt.withdraws)
    if event is None or event.state == "accepted" or await _is_withdrawn(city, receipt.withdraws):
        await _check_accepted(city, receipt.person, receipt.withdraws)
        return False
    await _update_receipt(city, receipt.withdraws, taken_back)
    return True


async def _check_accepted(city: City, person: str, key: str) -> None:
    """Check that an accepted event of the person is not withdrawn yet, also if the record discarded it.

    Raises NothingToWithdraw.
    """
    event = await city.store.get(HealthEventReceipt, key)
    if event is None:  # its receipt has ended, but the report may be in force
        record = await city.store.get(HealthRecord, person)
        may_withdraw = record is not None and _contains(record, key)
    else:
        is_report = event.person == person and event.state == "accepted" and event.withdraws is None
        may_withdraw = is_report and not await _is_withdrawn(city, key)
    if not may_withdraw:
        raise _nothing_to_withdraw()


def _nothing_to_withdraw() -> NothingToWithdraw:
    return NothingToWithdraw(
        Text(
            zh="没有可以撤回的事件，请核对事件编号。",
            en="There is no such event of this source and person to withdraw; check its id.",
        )
    )


async def _is_withdrawn(city: City, key: str) -> bool:
    return bool((await city.store.find(HealthEventReceipt, {"withdraws": key}, limit=1)).documents)


async def _add_event(city: City, receipt: HealthEventReceipt, now: datetime) -> HealthRecord:
    assert receipt.event is not None, "a receipt that is not applied has an event or withdraws one"
    report = Report(receipt.event, receipt.id, receipt.sample)

    def add(record: HealthRecord) -> HealthRecord:
        if _contains(record, receipt.id) or append_reports(record.reports, [report]) == record.reports:
            return record
        return apply_reports(record, [report], city.rulebook, now)

    return await update_record(city, receipt.person, now, add)


async def _remove_event(city: City, person: str, key: str, now: datetime) -> HealthRecord:
    def remove(record: HealthRecord) -> HealthRecord:
        return withdraw_report(record, key, city.rulebook, now) if _contains(record, key) else record

    return await update_record(city, person, now, remove)


def _contains(record: HealthRecord, key: str) -> bool:
    return any(report.key == key for report in record.reports)


def event_key(city: City, source: str, event_id: str) -> str:
    """Return our own id of an event, so that the ids of sources, which may be personal, are stored nowhere."""
    return city.encryption.digest("health-event", f"{source}\n{event_id}")
