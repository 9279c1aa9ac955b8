"""The saga of a visit: do its steps one after the other until none is due or another system does not answer."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.person import Person
from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamRejected, UpstreamTimeout
from backend.paylater.credit_account import CreditAccount, Superseded
from backend.services.medical_credit.eligibility import open_account, terms_of, update_account
from backend.services.medical_credit.model.coverage import (
    apply_payment,
    apply_refund,
    cover,
    hold_for_opening,
    make_bill,
    opening_hold_id,
    release_credit,
)
from backend.services.medical_credit.model.enrolment import MAX_BREACHES, Enrolment, RecordedBreach, purpose_of
from backend.services.medical_credit.model.notices import notice_text
from backend.services.medical_credit.model.steps import (
    Step,
    add_notice,
    next_debit_at,
    next_debit_id,
    next_refund,
    next_step,
    rescheduled,
)
from backend.services.medical_credit.model.visit import (
    Payment,
    Refund,
    Settlement,
    SettlementAttempt,
    Visit,
    net_lines,
)
from backend.services.medical_credit.ports import Bank, ClaimLine, Insurance, InsuranceClaim, Split
from backend.services.medical_credit.transfers import (
    record_payment_outcome,
    record_refund_outcome,
    request_payment,
)
from backend.services.medical_credit.visits import update_visit
from backend.store import Conflict
from backend.store.time import to_ms

MAX_STEPS = 50
MAX_ATTEMPTS = 20

_log = logging.getLogger("chengma.medical_credit")


async def advance(city: City, visit_id: str) -> Visit | None:
    """Do the steps of a visit that are due. Returns the visit after them, or None for an unknown id.

    If another system does not answer, the step is tried again when the visit's `due_ms` comes. Raises Conflict if
    other writers keep changing the visit.
    """
    conflicts = 0
    for _ in range(MAX_STEPS):
        visit = await city.store.get(Visit, visit_id)
        if visit is None:
            return None
        now = city.now()
        terms = terms_of(city, now)
        step = next_step(visit, now, terms)
        try:
            if step is None:
                after = rescheduled(visit, now, terms)
                return visit if after is visit else await city.store.replace(after)
            await _STEPS[step](city, visit, now)
        except (Conflict, Superseded):
            conflicts += 1
            if conflicts > MAX_ATTEMPTS:
                raise Conflict(Visit.collection, visit_id, visit.revision) from None
            await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311  jitter, not used for security
        except (UpstreamTimeout, UpstreamRejected) as error:
            _log.warning("step %s of visit %s is postponed: %s", step, visit_id, error)
            return await _postpone(city, visit_id, now)
    return await city.store.get(Visit, visit_id)


async def _postpone(city: City, visit_id: str, now: datetime) -> Visit | None:
    """Record a failure and reschedule the visit; the wait doubles with each failure."""
    for _ in range(MAX_ATTEMPTS):
        visit = await city.store.get(Visit, visit_id)
        if visit is None:
            return None
        failed = replace(visit, failures=visit.failures + 1)
        try:
            return await city.store.replace(rescheduled(failed, now, terms_of(city, now)))
        except Conflict:
            continue
    raise Conflict(Visit.collection, visit_id, 0)


# ── the insurance ──


async def _settle(city: City, visit: Visit, now: datetime) -> None:
    """Store an attempt, send the claim to the insurance, and store the settlement."""
    number = visit.attempts + 1
    if visit.total_fen() == 0:
        await city.store.replace(_settled(visit, Settlement(number, "", len(visit.lines), _NOTHING, now)))
        return
    attempt = SettlementAttempt(number, f"{visit.id}/{number}", len(visit.lines), now)
    claimed = await city.store.replace(replace(visit, attempts=number, attempt=attempt))
    try:
        split = await city.port(Insurance).settle(await _claim(city, claimed, attempt))
    except UpstreamTimeout:
        await update_visit(city, visit.id, lambda visit, _now: _drop_attempt(visit, attempt, reversing=True))
        return
    except UpstreamRejected:
        await update_visit(city, visit.id, lambda visit, _now: _drop_attempt(visit, attempt, reversing=False))
        raise
    assert split.medfee_fen == claimed.total_fen(), "the insurance splits the whole claim"
    settlement = Settlement(number, attempt.message_id, attempt.line_count, split, now)
    await update_visit(
        city, visit.id, lambda visit, _now: _settled(visit, settlement) if visit.attempt == attempt else visit
    )


_NOTHING = Split("", 0, 0, 0, 0, 0, 0)


def _settled(visit: Visit, settlement: Settlement) -> Visit:
    return replace(
        visit,
        attempts=settlement.number,
        attempt=None,
        settlement=settlement,
        settled_ms=to_ms(settlement.at),
        failures=0,
    )


def _drop_attempt(visit: Visit, attempt: SettlementAttempt, *, reversing: bool) -> Visit:
    """Return the visit without a rejected attempt, or with an unanswered one marked for reversal."""
    if visit.attempt != attempt:
        return visit  # another process already reverses it
    return replace(visit, attempt=replace(attempt, reversing=True) if reversing else None)


async def _claim(city: City, visit: Visit, attempt: SettlementAttempt) -> InsuranceClaim:
    profile = await city.store.get(Person, visit.person)
    assert profile is not None, "the person of a visit has a Profile"
    charges = net_lines(visit.lines[: attempt.line_count]).values()
    return InsuranceClaim(
        message_id=attempt.message_id,
        visit=visit.id,
        hospital=visit.hospital,
        id_number=city.encryption.decrypt(profile.id_number),
        kind=visit.kind,
        lines=tuple(ClaimLine(line.id, line.code, net_fen) for line, net_fen in charges if net_fen),
    )


async def _reverse(city: City, visit: Visit, _now: datetime) -> None:
    """Reverse an unanswered attempt; from now on its answer is ignored."""
    assert visit.attempt is not None, "there is an attempt to reverse"
    if not visit.attempt.reversing:
        visit = await city.store.replace(replace(visit, attempt=replace(visit.attempt, reversing=True)))
    assert visit.attempt is not None, "the write above keeps it"
    await city.port(Insurance).reverse(visit.attempt.message_id)
    await city.store.replace(replace(visit, attempt=None, failures=0))


async def _cancel_settlement(city: City, visit: Visit, _now: datetime) -> None:
    settled = visit.settlement
    assert settled is not None, "there is a settlement to cancel"
    if not settled.cancelling:
        settled = replace(settled, cancelling=True)
        visit = await city.store.replace(replace(visit, settlement=settled))
    if settled.split.settlement_id:
        await city.port(Insurance).cancel(settled.split.settlement_id, f"{visit.id}/{settled.number}/cancel")
    reopened = visit.closed_at is None and visit.cancelled_at is None
    await city.store.replace(
        replace(visit, settlement=None, settled_ms=None, bill=None if reopened else visit.bill, owing=False, failures=0)
    )


# ── the credit account ──


async def _change_account(
    city: City, visit: Visit, now: datetime, change: Callable[[CreditAccount], CreditAccount]
) -> CreditAccount:
    enrolment = await _enrolment(city, visit)
    account = await open_account(city, enrolment, purpose_of(visit.kind), now)
    return await update_account(city, account, change)


async def _enrolment(city: City, visit: Visit) -> Enrolment:
    enrolment = await city.store.get(Enrolment, visit.person)
    assert enrolment is not None, "enrolments are closed and never deleted"
    return enrolment


async def _hold(city: City, visit: Visit, now: datetime) -> None:
    account = await _change_account(city, visit, now, lambda account: hold_for_opening(account, visit, now)[0])
    held = account.find(opening_hold_id(visit))
    assert held is not None, "the hold was placed above"
    await city.store.replace(replace(visit, hold_placed=True, held_fen=held.amount_fen, failures=0))


async def _bill(city: City, visit: Visit, now: datetime) -> None:
    settled = visit.settlement
    assert settled is not None, "a visit is settled before it is billed"
    cash_fen = settled.split.cash_fen
    account = await _change_account(city, visit, now, lambda account: cover(account, visit, cash_fen, settled, now)[0])
    _, covered_fen, exception_fen = cover(account, visit, cash_fen, settled, now)
    terms = terms_of(city, now)
    bill = make_bill(settled, covered_fen, exception_fen, terms)
    enrolment = await _enrolment(city, visit)
    billed = replace(
        visit, bill=bill, bill_count=visit.bill_count + 1, automatic_debit=enrolment.automatic_debit, failures=0
    )
    if billed.owed_fen() > 0:
        billed = add_notice(billed, "bill", billed.owed_fen(), now)
    await city.store.replace(rescheduled(billed, now, terms))


async def _release_credit(city: City, visit: Visit, now: datetime) -> None:
    await _change_account(city, visit, now, lambda account: release_credit(account, visit, now))
    notified = add_notice(visit, "cancelled", 0, now) if visit.bill is not None else visit
    await city.store.replace(
        replace(notified, hold_placed=False, credit_released=True, bill=None, owing=False, failures=0)
    )


# ── the bank ──


async def _look_up_payment(city: City, visit: Visit, _now: datetime) -> None:
    """Look up a payment; if the bank never received it, request it again under the same id."""
    payment = visit.pending_payment()
    assert payment is not None, "there is a payment to look up"
    answer = await city.port(Bank).look_up(payment.id)
    if answer.outcome == "unknown":
        answer = await city.port(Bank).pay(payment.id, payment.payer, payment.amount_fen)
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank is still processing it")
    await record_payment_outcome(city, visit.id, payment.id, answer)


async def _look_up_refund(city: City, visit: Visit, _now: datetime) -> None:
    refund = next(one for one in visit.refunds if one.state == "requested")
    answer = await city.port(Bank).look_up(refund.id)
    if answer.outcome == "unknown":
        answer = await city.port(Bank).refund(refund.id, refund.payment, refund.amount_fen)
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank is still processing it")
    await record_refund_outcome(city, visit.id, refund.id, answer)


async def _refund(city: City, visit: Visit, now: datetime) -> None:
    refund: Refund = next_refund(visit, now)
    await city.store.replace(replace(visit, refunds=(*visit.refunds, refund)))
    answer = await city.port(Bank).refund(refund.id, refund.payment, refund.amount_fen)
    await record_refund_outcome(city, visit.id, refund.id, answer)


async def _apply_payment(city: City, visit: Visit, now: datetime) -> None:
    payment = next(one for one in visit.payments if one.state == "paid" and not one.applied)
    await _change_account(city, visit, now, lambda account: apply_payment(account, visit, payment))
    if visit.owed_fen() <= 0 and visit.breached_at is None:
        await _record_on_time_payment(city, visit, now)
    payments = tuple(replace(one, applied=True) if one is payment else one for one in visit.payments)
    await city.store.replace(replace(visit, payments=payments, failures=0))


async def _apply_refund(city: City, visit: Visit, now: datetime) -> None:
    refund = next(one for one in visit.refunds if one.state == "done" and not one.applied)
    await _change_account(city, visit, now, lambda account: apply_refund(account, visit, refund))
    refunds = tuple(replace(one, applied=True) if one is refund else one for one in visit.refunds)
    await city.store.replace(replace(visit, refunds=refunds, failures=0))


# ── when a bill is due ──


async def _debit(city: City, visit: Visit, now: datetime) -> None:
    amount_fen = visit.payable_now_fen(now)
    payment = Payment(next_debit_id(visit), amount_fen, visit.person, "automatic", now)
    await request_payment(city, visit, payment, now)


async def _breach(city: City, visit: Visit, now: datetime) -> None:
    notified = add_notice(visit, "suspended", visit.owed_fen(), now)
    await city.store.replace(replace(notified, breached_at=now, breach_recorded=False))


async def _record_breach(city: City, visit: Visit, _now: datetime) -> None:
    """Record a breach once in the enrolment; three in a row suspend the person."""
    assert visit.breached_at is not None, "there is a breach to record"
    enrolment = await _enrolment(city, visit)
    breach = RecordedBreach(visit.id, visit.breached_at)
    if breach not in enrolment.breaches:
        await city.store.replace(replace(enrolment, breaches=(*enrolment.breaches, breach)[-MAX_BREACHES:]))
    await city.store.replace(replace(visit, breach_recorded=True))


async def _record_on_time_payment(city: City, visit: Visit, now: datetime) -> None:
    """Record that a bill was paid on time, so that earlier breaches are no longer consecutive."""
    enrolment = await _enrolment(city, visit)
    if enrolment.breaches and (
        enrolment.paid_on_time_at is None or enrolment.breaches[-1].at > enrolment.paid_on_time_at
    ):
        await city.store.replace(replace(enrolment, paid_on_time_at=now))


async def _remind(city: City, visit: Visit, now: datetime) -> None:
    await city.store.replace(add_notice(visit, "reminder", visit.owed_fen(), now))


async def _send_notice(city: City, visit: Visit, now: datetime) -> None:
    """Send the oldest notification; if interrupted, it is sent twice rather than never."""
    notice = next(one for one in visit.notices if not one.sent)
    next_debit = next_debit_at(visit, terms_of(city, now))
    text = notice_text(notice, visit, next_debit, ZoneInfo(city.settings.time_zone))
    await city.port(Notifications).notify(visit.person, text)
    notices = tuple(replace(one, sent=True) if one is notice else one for one in visit.notices)
    await city.store.replace(replace(visit, notices=notices, failures=0))


_STEPS: dict[Step, Callable[[City, Visit, datetime], Awaitable[None]]] = {
    Step.HOLD: _hold,
    Step.REVERSE: _reverse,
    Step.CANCEL_SETTLEMENT: _cancel_settlement,
    Step.SETTLE: _settle,
    Step.BILL: _bill,
    Step.RELEASE_CREDIT: _release_credit,
    Step.LOOK_UP_PAYMENT: _look_up_payment,
    Step.APPLY_PAYMENT: _apply_payment,
    Step.REFUND: _refund,
    Step.LOOK_UP_REFUND: _look_up_refund,
    Step.APPLY_REFUND: _apply_refund,
    Step.DEBIT: _debit,
    Step.BREACH: _breach,
    Step.RECORD_BREACH: _record_breach,
    Step.REMIND: _remind,
    Step.NOTIFY: _send_notice,
}
