"""Doing what is next for a visit, one step after the other, until nothing is to be done or somebody does not answer."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec.structs import replace

from backend.city.person import Profile
from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamRejected, UpstreamTimeout
from backend.paylater.credit_account import CreditAccount, Overtaken
from backend.services.medical_credit.model.covering import (
    cover,
    give_back,
    hold_for_opening,
    make_bill,
    opening_hold_id,
    repay,
    uncover,
)
from backend.services.medical_credit.model.enrolment import MAX_BREACHES, Enrolment, NotedBreach, purpose_of
from backend.services.medical_credit.model.notices import notice_text
from backend.services.medical_credit.model.steps import (
    Step,
    next_debit_id,
    next_refund,
    next_step,
    notify,
    rested,
)
from backend.services.medical_credit.model.visit import Attempt, Payment, Refund, Settlement, Visit, net_lines
from backend.services.medical_credit.people import change_account, open_account, terms_of
from backend.services.medical_credit.ports import Bank, Claim, ClaimLine, Insurance, Split
from backend.services.medical_credit.transfers import ask_bank_to_pay, change_visit, note_payment, note_refund
from backend.store import Conflict

MAX_STEPS = 50
MAX_ATTEMPTS = 20

_log = logging.getLogger("chengma.medical_credit")


async def advance(city: City, visit_id: str) -> Visit | None:
    """Do what is to be done for a visit now; give it as it stands then, or None for an unknown id.

    Whoever does not answer is asked again later: the visit says when. Raises Conflict if others kept changing it.
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
                resting = rested(visit, now, terms)
                return visit if resting is visit else await city.store.replace(resting)
            await _DO[step](city, visit, now)
        except (Conflict, Overtaken):
            conflicts += 1
            if conflicts > MAX_ATTEMPTS:
                raise Conflict(Visit.collection, visit_id, visit.revision) from None
            await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311  spreads the writers, guards nothing
        except (UpstreamTimeout, UpstreamRejected) as error:
            _log.warning("%s of visit %s waits: %s", step, visit_id, error)
            return await _postpone(city, visit_id, now)
    return await city.store.get(Visit, visit_id)


async def _postpone(city: City, visit_id: str, now: datetime) -> Visit | None:
    """Note that a step failed, so that it is tried again later, each time after twice as long."""
    for _ in range(MAX_ATTEMPTS):
        visit = await city.store.get(Visit, visit_id)
        if visit is None:
            return None
        failed = replace(visit, failures=visit.failures + 1)
        try:
            return await city.store.replace(rested(failed, now, terms_of(city, now)))
        except Conflict:
            continue
    raise Conflict(Visit.collection, visit_id, 0)


# ── the insurance ──


async def _settle(city: City, visit: Visit, now: datetime) -> None:
    """Note that the insurance is asked, ask it, and note what it answered."""
    number = visit.attempts + 1
    if visit.total_fen() == 0:
        await city.store.replace(_settled(visit, Settlement(number, "", len(visit.lines), _NOTHING, now)))
        return
    attempt = Attempt(number, f"{visit.id}/{number}", len(visit.lines), now)
    asking = await city.store.replace(replace(visit, attempts=number, attempt=attempt))
    try:
        split = await city.port(Insurance).settle(await _claim(city, asking, attempt))
    except UpstreamTimeout:
        await change_visit(city, visit.id, lambda visit, _now: _without_attempt(visit, attempt, reversing=True))
        return
    except UpstreamRejected:
        await change_visit(city, visit.id, lambda visit, _now: _without_attempt(visit, attempt, reversing=False))
        raise
    assert split.medfee_fen == asking.total_fen(), "the insurance splits what it was told"
    settlement = Settlement(number, attempt.message_id, attempt.lines, split, now)
    await change_visit(
        city, visit.id, lambda visit, _now: _settled(visit, settlement) if visit.attempt == attempt else visit
    )


_NOTHING = Split("", 0, 0, 0, 0, 0, 0)


def _settled(visit: Visit, settlement: Settlement) -> Visit:
    return replace(
        visit,
        attempts=settlement.number,
        attempt=None,
        settlement=settlement,
        settled_ms=int(settlement.at.timestamp() * 1_000),
        failures=0,
    )


def _without_attempt(visit: Visit, attempt: Attempt, *, reversing: bool) -> Visit:
    """Give an attempt up: at once where it was refused, and to be reversed where nobody knows what came of it."""
    if visit.attempt != attempt:
        return visit  # whoever found it unanswered reverses it already
    return replace(visit, attempt=replace(attempt, reversing=True) if reversing else None)


async def _claim(city: City, visit: Visit, attempt: Attempt) -> Claim:
    profile = await city.store.get(Profile, visit.person)
    assert profile is not None, "a visit is a known person's"
    left = net_lines(visit.lines[: attempt.lines]).values()
    return Claim(
        message_id=attempt.message_id,
        visit=visit.id,
        hospital=visit.hospital,
        id_number=city.encryption.decrypt(profile.id_number),
        kind=visit.kind,
        lines=tuple(ClaimLine(line.id, line.code, left_fen) for line, left_fen in left if left_fen),
    )


async def _reverse(city: City, visit: Visit, _now: datetime) -> None:
    """Undo what may have come of an unanswered attempt; from now on its answer counts no more."""
    assert visit.attempt is not None, "there is an attempt to reverse"
    if not visit.attempt.reversing:
        visit = await city.store.replace(replace(visit, attempt=replace(visit.attempt, reversing=True)))
    assert visit.attempt is not None, "it is still there"
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
    return await change_account(city, account, change)


async def _enrolment(city: City, visit: Visit) -> Enrolment:
    enrolment = await city.store.get(Enrolment, visit.person)
    assert enrolment is not None, "an enrolment is closed and never deleted"
    return enrolment


async def _hold(city: City, visit: Visit, now: datetime) -> None:
    account = await _change_account(city, visit, now, lambda account: hold_for_opening(account, visit, now)[0])
    held = account.find(opening_hold_id(visit))
    assert held is not None, "it was held just now"
    await city.store.replace(replace(visit, holding=True, held_fen=held.amount_fen, failures=0))


async def _bill(city: City, visit: Visit, now: datetime) -> None:
    settled = visit.settlement
    assert settled is not None, "what is billed was settled"
    cash_fen = settled.split.cash_fen
    account = await _change_account(city, visit, now, lambda account: cover(account, visit, cash_fen, settled, now)[0])
    _, covered_fen, exception_fen = cover(account, visit, cash_fen, settled, now)
    terms = terms_of(city, now)
    bill = make_bill(settled, covered_fen, exception_fen, terms)
    enrolment = await _enrolment(city, visit)
    billed = replace(visit, bill=bill, billings=visit.billings + 1, automatic=enrolment.automatic_debit, failures=0)
    if billed.owed_fen() > 0:
        billed = notify(billed, "bill", billed.owed_fen(), now)
    await city.store.replace(rested(billed, now, terms))


async def _uncover(city: City, visit: Visit, now: datetime) -> None:
    await _change_account(city, visit, now, lambda account: uncover(account, visit, now))
    told = notify(visit, "cancelled", 0, now) if visit.bill is not None else visit
    await city.store.replace(replace(told, holding=False, uncovered=True, bill=None, owing=False, failures=0))


# ── the bank ──


async def _look_up_payment(city: City, visit: Visit, _now: datetime) -> None:
    """Ask what became of a payment; what the bank never got is asked for again under the same id."""
    payment = visit.asked()
    assert payment is not None, "there is a payment to look up"
    answer = await city.port(Bank).look_up(payment.id)
    if answer.outcome == "unknown":
        answer = await city.port(Bank).pay(payment.id, payment.payer, payment.amount_fen)
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank has not decided yet")
    await note_payment(city, visit.id, payment.id, answer)


async def _look_up_refund(city: City, visit: Visit, _now: datetime) -> None:
    refund = next(one for one in visit.refunds if one.state == "asked")
    answer = await city.port(Bank).look_up(refund.id)
    if answer.outcome == "unknown":
        answer = await city.port(Bank).refund(refund.id, refund.payment, refund.amount_fen)
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank has not decided yet")
    await note_refund(city, visit.id, refund.id, answer)


async def _refund(city: City, visit: Visit, now: datetime) -> None:
    refund: Refund = next_refund(visit, now)
    await city.store.replace(replace(visit, refunds=(*visit.refunds, refund)))
    answer = await city.port(Bank).refund(refund.id, refund.payment, refund.amount_fen)
    await note_refund(city, visit.id, refund.id, answer)


async def _repay(city: City, visit: Visit, now: datetime) -> None:
    payment = next(one for one in visit.payments if one.state == "paid" and not one.credited)
    await _change_account(city, visit, now, lambda account: repay(account, visit, payment))
    if visit.owed_fen() <= 0 and visit.breached_at is None:
        await _note_kept(city, visit, now)
    credited = tuple(replace(one, credited=True) if one is payment else one for one in visit.payments)
    await city.store.replace(replace(visit, payments=credited, failures=0))


async def _give_back(city: City, visit: Visit, now: datetime) -> None:
    refund = next(one for one in visit.refunds if one.state == "done" and not one.credited)
    await _change_account(city, visit, now, lambda account: give_back(account, visit, refund))
    credited = tuple(replace(one, credited=True) if one is refund else one for one in visit.refunds)
    await city.store.replace(replace(visit, refunds=credited, failures=0))


# ── when a bill is due ──


async def _debit(city: City, visit: Visit, now: datetime) -> None:
    amount_fen = visit.payable_now_fen(now)
    await ask_bank_to_pay(city, visit, Payment(next_debit_id(visit), amount_fen, visit.person, "automatic", now), now)


async def _breach(city: City, visit: Visit, now: datetime) -> None:
    told = notify(visit, "suspended", visit.owed_fen(), now)
    await city.store.replace(replace(told, breached_at=now, breach_noted=False))


async def _note_breach(city: City, visit: Visit, _now: datetime) -> None:
    """Note a breach with the person, once for each: three in succession suspend them."""
    assert visit.breached_at is not None, "there is a breach to note"
    enrolment = await _enrolment(city, visit)
    breach = NotedBreach(visit.id, visit.breached_at)
    if breach not in enrolment.breaches:
        await city.store.replace(replace(enrolment, breaches=(*enrolment.breaches, breach)[-MAX_BREACHES:]))
    await city.store.replace(replace(visit, breach_noted=True))


async def _note_kept(city: City, visit: Visit, now: datetime) -> None:
    """Note that a bill was paid in time, where there were breaches before: they are in succession no more."""
    enrolment = await _enrolment(city, visit)
    if enrolment.breaches and (enrolment.kept_at is None or enrolment.breaches[-1].at > enrolment.kept_at):
        await city.store.replace(replace(enrolment, kept_at=now))


async def _remind(city: City, visit: Visit, now: datetime) -> None:
    await city.store.replace(notify(visit, "reminder", visit.owed_fen(), now))


async def _tell(city: City, visit: Visit, _now: datetime) -> None:
    """Hand the oldest notice over; one that was interrupted just then is told twice rather than never."""
    notice = next(one for one in visit.notices if not one.told)
    await city.port(Notifications).notify(visit.person, notice_text(notice))
    told = tuple(replace(one, told=True) if one is notice else one for one in visit.notices)
    await city.store.replace(replace(visit, notices=told, failures=0))


_DO: dict[Step, Callable[[City, Visit, datetime], Awaitable[None]]] = {
    Step.HOLD: _hold,
    Step.REVERSE: _reverse,
    Step.CANCEL_SETTLEMENT: _cancel_settlement,
    Step.SETTLE: _settle,
    Step.BILL: _bill,
    Step.UNCOVER: _uncover,
    Step.LOOK_UP_PAYMENT: _look_up_payment,
    Step.REPAY: _repay,
    Step.REFUND: _refund,
    Step.LOOK_UP_REFUND: _look_up_refund,
    Step.GIVE_BACK: _give_back,
    Step.DEBIT: _debit,
    Step.BREACH: _breach,
    Step.NOTE_BREACH: _note_breach,
    Step.REMIND: _remind,
    Step.TELL: _tell,
}
