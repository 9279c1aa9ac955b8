"""The saga of a visit, from its hold to the last notification: insurance here, bill and payments in `paylater`.

A hospital may settle its visits itself. Then the insurance is not called, and the bill follows the hospital's report.
"""

import logging
from datetime import datetime
from enum import Enum, auto

from msgspec.structs import replace

from backend.city.person import known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.jobs.saga import Action, Decision, Request, Saga, backoff
from backend.jobs.tasks import TaskReference
from backend.paylater.bill import Terms
from backend.paylater.credit_line import Superseded
from backend.paylater.steps import (
    ANSWER_TIMEOUT,
    BillStep,
    bill_due_times,
    bill_step,
    breach,
    prepare_debit,
    prepare_refund,
    remind,
    scheduled,
)
from backend.paylater.transfers import look_up_transfer, send_transfer
from backend.services.medical_credit.eligibility import pay_later, terms_of
from backend.services.medical_credit.model.hospital import default_institution
from backend.services.medical_credit.model.visit import Settlement, SettlementAttempt, Visit, claim_line, net_lines
from backend.services.medical_credit.ports import Insurance, InsuranceClaim, Split
from backend.store.time import to_ms

_log = logging.getLogger("chengma.medical_credit")


class InsuranceStep(Enum):
    """A step by which the insurance decides the person's share."""

    SETTLE = auto()
    GIVE_UP = auto()
    REVERSE = auto()
    CANCEL = auto()


def next_step(visit: Visit, now: datetime, terms: Terms) -> InsuranceStep | BillStep | None:
    """Return the step to do now, or None if there is nothing to do until the visit's `due_ms`."""
    return _insurance_step(visit, now) or bill_step(visit, now, terms)


def _insurance_step(visit: Visit, now: datetime) -> InsuranceStep | None:
    if visit.settled_by == "hospital":
        return None
    if visit.attempt is not None:
        if visit.attempt.reversing:
            return InsuranceStep.REVERSE
        return InsuranceStep.GIVE_UP if now - visit.attempt.requested_at >= ANSWER_TIMEOUT else None
    settles = visit.closed_at is not None and visit.cancelled_at is None
    if visit.settlement is not None:
        if visit.settlement.cancelling:
            return InsuranceStep.CANCEL
        return None if settles and visit.is_current() else InsuranceStep.GIVE_UP
    claim_at = _claim_at(visit)
    return InsuranceStep.SETTLE if settles and claim_at is not None and claim_at <= now else None


def _claim_at(visit: Visit) -> datetime | None:
    """Return when the city sends the closed visit to the insurance; None if it does not."""
    if visit.settled_by == "hospital":
        return None
    if visit.settle_at is None or visit.retry_at is None:
        return visit.settle_at
    return max(visit.settle_at, visit.retry_at)


def schedule(visit: Visit, now: datetime, terms: Terms) -> Visit:
    """Set when a sweep resumes the visit next, and whether its bill is unpaid."""
    times, claim_at = bill_due_times(visit, terms), _claim_at(visit)
    if visit.attempt is not None:
        times.append(visit.attempt.requested_at + ANSWER_TIMEOUT)
    elif visit.settlement is None and claim_at is not None and visit.cancelled_at is None:
        times.append(claim_at)
    return scheduled(visit, now, times, is_due=next_step(visit, now, terms) is not None)


# ── the insurance ──


def _prepare_claim(visit: Visit, now: datetime, _terms: Terms) -> Visit:
    number = visit.attempts + 1
    attempt = SettlementAttempt(number, f"{visit.id}/{number}", len(visit.lines), now)
    return replace(visit, attempts=number, attempt=attempt)


async def _settle(city: City, visit: Visit, now: datetime) -> Visit:
    """Send the claim of the stored attempt, and bill the person's share."""
    attempt = visit.attempt
    if attempt is None or attempt.reversing:
        return visit  # another process already reverses it
    try:
        split = await _split(city, visit, attempt)
    except UpstreamTimeout as error:
        _log.warning("the claim of visit %s is reversed: %s", visit.id, error)
        retry_at = now + backoff(attempt.number) if isinstance(error, _WrongSplit) else visit.retry_at
        return replace(visit, attempt=replace(attempt, reversing=True), retry_at=retry_at)
    except UpstreamRejected as error:
        _log.warning("the claim of visit %s is rejected: %s", visit.id, error)
        failures = visit.failures + 1
        return replace(visit, attempt=None, failures=failures, retry_at=now + backoff(failures))
    message_id = attempt.message_id if split is not _NOTHING else ""
    settlement = Settlement(attempt.number, message_id, attempt.line_count, split, now)
    settled = replace(visit, attempt=None, retry_at=None, settlement=settlement, settled_ms=to_ms(now), failures=0)
    is_final = next_step(settled, now, terms_of(city, now)) is BillStep.COVER
    return await pay_later.cover(city, settled, now) if is_final else settled


_NOTHING = Split("", 0, 0, 0, 0, 0, 0)


class _WrongSplit(UpstreamTimeout):
    """The insurance answered with shares that are not those of the claim, so what it did is reversed."""


async def _split(city: City, visit: Visit, attempt: SettlementAttempt) -> Split:
    """Return how the insurance splits the lines of an attempt; it is not asked about nothing."""
    if sum(line.amount_fen for line in visit.lines[: attempt.line_count]) == 0:
        return _NOTHING
    claim = await _claim(city, visit, attempt)
    split = await city.port(Insurance).settle(claim)
    if not split.adds_up() or split.medfee_fen != claim.medfee_fen():
        raise _WrongSplit("the shares do not total the medical fee of the claim")
    return split


async def _claim(city: City, visit: Visit, attempt: SettlementAttempt) -> InsuranceClaim:
    """Return the claim of an attempt, the same however often it is made."""
    opened_for = visit if visit.id_number is not None else await known_person(city.store, visit.person)
    lines = net_lines(visit.lines[: attempt.line_count]).values()
    return InsuranceClaim(
        message_id=attempt.message_id,
        batch=str(attempt.number),
        visit=visit.id,
        hospital=visit.hospital,
        institution=visit.institution or default_institution(visit.hospital),
        id_number=city.encryption.read(opened_for, "id_number"),
        kind=visit.kind,
        opened_at=visit.opened_at,
        requested_at=attempt.requested_at,
        lines=tuple(claim_line(line, fen) for line, fen in lines if fen),
    )


def _give_up(visit: Visit, _now: datetime, _terms: Terms) -> Visit:
    """Give up the attempt, whose answer is ignored from now on, or the settlement."""
    if visit.attempt is not None:
        return replace(visit, attempt=replace(visit.attempt, reversing=True))
    assert visit.settlement is not None, "there is an attempt or a settlement to give up"
    return replace(visit, settlement=replace(visit.settlement, cancelling=True))


async def _reverse(city: City, visit: Visit, _now: datetime) -> Visit:
    assert visit.attempt is not None, "there is an attempt to reverse"
    await city.port(Insurance).reverse(await _claim(city, visit, visit.attempt))
    return replace(visit, attempt=None, failures=0)


async def _cancel_settlement(city: City, visit: Visit, _now: datetime) -> Visit:
    settled = visit.settlement
    assert settled is not None, "there is a settlement to cancel"
    if settled.split.settlement_id:
        message_id = f"{visit.id}/{settled.number}/cancel"
        await city.port(Insurance).cancel(settled.split.settlement_id, message_id, settled.split.insured)
    reopened = visit.closed_at is None and visit.cancelled_at is None
    return replace(visit, settlement=None, settled_ms=None, bill=None if reopened else visit.bill, failures=0)


# ── the whole process ──

_STEPS: dict[InsuranceStep | BillStep, Action[City, Visit, Terms]] = {
    BillStep.RELEASE_LEFT_LINE: pay_later.release_left_line,
    BillStep.HOLD: pay_later.hold,
    InsuranceStep.SETTLE: Request(_prepare_claim, _settle),
    InsuranceStep.GIVE_UP: Decision(_give_up),
    InsuranceStep.REVERSE: _reverse,
    InsuranceStep.CANCEL: _cancel_settlement,
    BillStep.COVER: pay_later.cover,
    BillStep.RELEASE_CREDIT: pay_later.release_credit,
    BillStep.DEBIT: Request(prepare_debit, send_transfer),
    BillStep.LOOK_UP_TRANSFER: look_up_transfer,
    BillStep.APPLY_TRANSFER: pay_later.apply_transfer,
    BillStep.REFUND: Request(prepare_refund, send_transfer),
    BillStep.BREACH: Decision(breach),
    BillStep.RECORD_BREACH: pay_later.record_breach,
    BillStep.REMIND: Decision(remind),
    BillStep.NOTIFY: pay_later.notify,
}

visit_saga = Saga(
    kind=Visit,
    next_step=next_step,
    schedule=schedule,
    terms=terms_of,
    steps=_STEPS,
    task=TaskReference("medical_credit.advance"),
    unavailable=(UpstreamTimeout, UpstreamRejected),
    retried=(Superseded,),
)
