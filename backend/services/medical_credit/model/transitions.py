"""Apply hospital commands to a visit: pure and idempotent."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.i18n import yuan
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    OpenVisit,
    ReopenVisit,
)
from backend.services.medical_credit.model.enrolment import Terms
from backend.services.medical_credit.model.problems import (
    LineChanged,
    LineExceeded,
    RefundTooLate,
    TooManyLines,
    UnknownLine,
    VisitCancelled,
    VisitChanged,
    VisitPaid,
)
from backend.services.medical_credit.model.visit import MAX_EVENTS, MAX_LINES, CounterPayment, Line, Visit
from backend.store.time import to_ms


def transition(visit: Visit, command: Command, event: str, person: str | None, terms: Terms, now: datetime) -> Visit:
    """Return the visit after a command, or the same object if the command was applied before.

    `event` identifies the message that carried the command; `person` is the person whom an ID number in it identifies.
    Raises the Problems of `model.problems`.
    """
    if isinstance(command, Line):
        return _with_line(visit, command, terms, now)
    if isinstance(command, CounterPayment):
        return _with_counter_payment(visit, command)
    if event in visit.events:
        return visit
    changed = _changed(visit, command, person, terms, now)
    # An event that changes nothing is recorded too: repeated after the opposite command, it must still change nothing.
    return replace(changed, events=(*visit.events, event)[-MAX_EVENTS:])


def _changed(visit: Visit, command: Command, person: str | None, terms: Terms, now: datetime) -> Visit:
    if isinstance(command, CancelVisit):
        return visit if visit.cancelled_at is not None else replace(visit, cancelled_at=now, due_ms=to_ms(now))
    if visit.cancelled_at is not None:
        raise _cancelled()
    match command:
        case OpenVisit():
            return _same_opening(visit, command, person)
        case ChangeVisit():
            return _corrected(visit, command, person)
        case CloseVisit():
            return _closed(visit, command, terms, now)
        case ReopenVisit():
            return _reopened(visit, now)
        case _:
            raise AssertionError(f"{type(command).__name__} is handled above")


def _same_opening(visit: Visit, command: OpenVisit, person: str | None) -> Visit:
    if person != visit.person or command.kind != visit.kind:
        raise VisitChanged(
            zh="该就诊号已用于其他患者或其他就诊类别。",
            en="This visit number is already used for another patient or kind of visit.",
        )
    return visit


def _corrected(visit: Visit, command: ChangeVisit, person: str | None) -> Visit:
    if command.id_number is not None and person != visit.person:
        raise VisitChanged(
            zh="就诊人不能更改，请取消本次就诊后重新登记。",
            en="The patient of a visit cannot change; cancel the visit and open another.",
        )
    kind, opened_at = command.kind or visit.kind, command.opened_at or visit.opened_at
    if (kind, opened_at) == (visit.kind, visit.opened_at):
        return visit
    if kind != visit.kind and (visit.settlement or visit.attempt or visit.bill):
        raise VisitChanged(zh="已结算的就诊不能更改类别。", en="The kind of a settled visit cannot change.")
    if (kind == "inpatient") != (visit.kind == "inpatient"):
        raise VisitChanged(
            zh="住院使用单独的信用额度，请另开一次住院就诊。",
            en="An inpatient stay uses a separate credit limit; open another visit for it.",
        )
    return replace(visit, kind=kind, opened_at=opened_at, opened_ms=to_ms(opened_at))


def _closed(visit: Visit, command: CloseVisit, terms: Terms, now: datetime) -> Visit:
    settle_at = now if command.final else now + timedelta(minutes=terms("late_charges_minutes"))
    if visit.closed_at is not None:
        if not command.final or visit.settle_at is None or visit.settle_at <= settle_at:
            return visit
        return replace(visit, settle_at=settle_at, retry_at=None, due_ms=to_ms(now))
    return replace(visit, closed_at=command.at, settle_at=settle_at, retry_at=None, due_ms=to_ms(settle_at))


def _reopened(visit: Visit, now: datetime) -> Visit:
    if visit.closed_at is None:
        return visit
    if visit.was_paid():
        raise _paid()
    return replace(visit, closed_at=None, settle_at=None, due_ms=to_ms(now))


def _with_line(visit: Visit, line: Line, terms: Terms, now: datetime) -> Visit:
    known = visit.line(line.id)
    if known is not None:
        if (known.kind, known.code, known.amount_fen, known.of) != (line.kind, line.code, line.amount_fen, line.of):
            raise LineChanged(
                zh=f"费用明细号{line.id}重复，但内容不同。",
                en=f"The visit already has a line {line.id} with other contents.",
            )
        return visit
    if visit.cancelled_at is not None:
        raise _cancelled()
    if len(visit.lines) >= MAX_LINES:
        raise TooManyLines(
            zh=f"一次就诊最多{MAX_LINES:,}条费用明细。", en=f"A visit can have at most {MAX_LINES:,} lines."
        )
    if line.of is not None:
        _check_charge(visit, line)
    if visit.was_paid():
        if line.amount_fen > 0:
            raise _paid()
        _check_refund_period(visit, terms, now)
    settles = visit.closed_at is not None and visit.settlement is not None
    due_ms = to_ms(now) if settles else visit.due_ms
    return replace(visit, lines=(*visit.lines, line), retry_at=None, due_ms=due_ms)


def _check_charge(visit: Visit, line: Line) -> None:
    charge = visit.line(line.of or "")
    if charge is None or charge.of is not None:
        raise UnknownLine(
            zh=f"没有找到所引用的费用明细{line.of}。", en=f"The visit has no charge {line.of}.", line=line.of
        )
    remaining_fen = visit.net_fen(charge.id)
    if remaining_fen + line.amount_fen < 0:
        raise LineExceeded(
            zh=f"退费金额超过该费用明细的可退金额（{yuan(remaining_fen)}元）。",
            en=f"The amount exceeds what remains of charge {line.of}: {yuan(remaining_fen)} yuan.",
            remaining_fen=remaining_fen,
        )


def _check_refund_period(visit: Visit, terms: Terms, now: datetime) -> None:
    first = min(payment.requested_at for payment in visit.payments if payment.state != "failed")
    if now - first > timedelta(days=terms("refund_days")):
        raise RefundTooLate(
            zh=f"付款已满{terms('refund_days')}天，不能再原路退回。",
            en=f"A payment can be refunded only within {terms('refund_days')} days.",
        )


def _with_counter_payment(visit: Visit, payment: CounterPayment) -> Visit:
    known = next((one for one in visit.counter_payments if one.id == payment.id), None)
    if known is None:
        return replace(visit, counter_payments=(*visit.counter_payments, payment))
    if known.amount_fen != payment.amount_fen:
        raise LineChanged(
            zh=f"窗口支付号{payment.id}重复，但金额不同。",
            en=f"Counter payment {payment.id} was already reported with another amount.",
        )
    return visit


def _cancelled() -> VisitCancelled:
    return VisitCancelled(zh="该就诊已取消。", en="The visit was cancelled.")


def _paid() -> VisitPaid:
    return VisitPaid(
        zh="账单已支付或正在支付，不能再增加费用。", en="The bill is paid or being paid; no more charges can be added."
    )
