"""What a visit becomes when the hospital tells something of it: pure, and the same however often it is told."""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.i18n import Text
from backend.services.medical_credit.facts import Term
from backend.services.medical_credit.model.commands import (
    Adjustment,
    CancelVisit,
    ChangeVisit,
    Charge,
    CloseVisit,
    Command,
    Credit,
    OpenVisit,
    PaidAtCounter,
    ReopenVisit,
)
from backend.services.medical_credit.model.problems import (
    LineChanged,
    LineExceeded,
    RefundTooLate,
    TooManyLines,
    UnknownLine,
    VisitChanged,
    VisitEnded,
    VisitPaid,
)
from backend.services.medical_credit.model.visit import (
    MAX_EVENTS,
    MAX_LINES,
    CounterPayment,
    Line,
    Visit,
)

Terms = Callable[[Term], int]
"""Gives a figure of the agreement, as it stands now."""


def tell(visit: Visit, command: Command, event: str, person: str | None, terms: Terms, now: datetime) -> Visit:
    """Apply what a hospital tells to a visit; gives back the same object where it was told before.

    `event` names the message that brought it, `person` is whom an ID number in it leads to. Raises the Problems of this
    service that name what does not fit.
    """
    if isinstance(command, Charge | Credit | Adjustment):
        return _with_line(visit, _line(command), terms, now)
    if isinstance(command, PaidAtCounter):
        return _with_counter_payment(visit, command)
    if event in visit.events:
        return visit
    changed = _changed(visit, command, person, terms, now)
    # Also what says nothing new is remembered: told again after the opposite was told, it must say nothing new either.
    return replace(changed, events=(*visit.events, event)[-MAX_EVENTS:])


def _changed(visit: Visit, command: Command, person: str | None, terms: Terms, now: datetime) -> Visit:
    if isinstance(command, CancelVisit):
        return visit if visit.cancelled_at is not None else replace(visit, cancelled_at=now, due_ms=_ms(now))
    if visit.cancelled_at is not None:
        raise _ended()
    match command:
        case OpenVisit():
            return _opened_again(visit, command, person)
        case ChangeVisit():
            return _corrected(visit, command, person)
        case CloseVisit():
            return _closed(visit, command, terms, now)
        case ReopenVisit():
            return _reopened(visit, now)
        case _:
            raise AssertionError(f"{type(command).__name__} is told elsewhere")


def _opened_again(visit: Visit, command: OpenVisit, person: str | None) -> Visit:
    if person != visit.person or command.kind != visit.kind:
        raise VisitChanged(
            Text(
                zh="该就诊号已用于另一次就诊。", en="This visit number was opened for another patient or kind of visit."
            )
        )
    return visit


def _corrected(visit: Visit, command: ChangeVisit, person: str | None) -> Visit:
    if command.id_number is not None and person != visit.person:
        raise VisitChanged(
            Text(
                zh="就诊人不能更改，请取消后重新登记。",
                en="A visit stays with its patient; cancel it and open another.",
            )
        )
    kind, opened_at = command.kind or visit.kind, command.opened_at or visit.opened_at
    if (kind, opened_at) == (visit.kind, visit.opened_at):
        return visit
    if kind != visit.kind and (visit.settlement or visit.attempt or visit.bill):
        raise VisitChanged(
            Text(zh="已结算的就诊不能更改类别。", en="The kind of a visit cannot change once it was settled.")
        )
    if (kind == "inpatient") != (visit.kind == "inpatient"):
        raise VisitChanged(
            Text(
                zh="门诊与住院额度不同，请另开就诊。",
                en="Inpatient credit is another limit; open another visit for it.",
            )
        )
    return replace(visit, kind=kind, opened_at=opened_at, opened_ms=_ms(opened_at))


def _closed(visit: Visit, command: CloseVisit, terms: Terms, now: datetime) -> Visit:
    settle_at = now if command.final else now + timedelta(minutes=terms("late_charges_minutes"))
    if visit.closed_at is not None:
        if not command.final or visit.settle_at is None or visit.settle_at <= settle_at:
            return visit
        return replace(visit, settle_at=settle_at, due_ms=_ms(now))
    return replace(visit, closed_at=command.at, settle_at=settle_at, due_ms=_ms(settle_at))


def _reopened(visit: Visit, now: datetime) -> Visit:
    if visit.closed_at is None:
        return visit
    if visit.was_paid():
        raise _paid()
    return replace(visit, closed_at=None, settle_at=None, due_ms=_ms(now))


def _line(command: Charge | Credit | Adjustment) -> Line:
    match command:
        case Charge():
            return Line(command.line, "charge", command.code, command.title, command.amount_fen, command.at)
        case Credit():
            return Line(command.line, "credit", "", command.title, -command.amount_fen, command.at, command.of)
        case Adjustment():
            return Line(command.line, "adjustment", "", command.title, command.amount_fen, command.at, command.of)


def _with_line(visit: Visit, line: Line, terms: Terms, now: datetime) -> Visit:
    known = visit.line(line.id)
    if known is not None:
        if (known.kind, known.code, known.amount_fen, known.of) != (line.kind, line.code, line.amount_fen, line.of):
            raise LineChanged(
                Text(zh="同一明细号的内容不同。", en=f"The visit holds a line {line.id} that says something else.")
            )
        return visit
    if visit.cancelled_at is not None:
        raise _ended()
    if len(visit.lines) >= MAX_LINES:
        raise TooManyLines(Text(zh="明细过多。", en=f"A visit holds {MAX_LINES:,} lines at most."))
    if line.of is not None:
        _refuse_unfit(visit, line)
    if visit.was_paid():
        if line.amount_fen > 0:
            raise _paid()
        _refuse_late_refund(visit, terms, now)
    settles = visit.closed_at is not None and visit.settlement is not None
    return replace(visit, lines=(*visit.lines, line), due_ms=_ms(now) if settles else visit.due_ms)


def _refuse_unfit(visit: Visit, line: Line) -> None:
    charge = visit.line(line.of or "")
    if charge is None or charge.of is not None:
        raise UnknownLine(Text(zh="没有所指的收费明细。", en=f"The visit holds no charge {line.of}."), line=line.of)
    left_fen = visit.net_fen(charge.id)
    if left_fen + line.amount_fen < 0:
        raise LineExceeded(
            Text(zh="退费超过该明细的余额。", en=f"Only {left_fen} fen are left of the charge {line.of}."),
            left_fen=left_fen,
        )


def _refuse_late_refund(visit: Visit, terms: Terms, now: datetime) -> None:
    first = min(payment.asked_at for payment in visit.payments if payment.state != "failed")
    if now - first > timedelta(days=terms("refund_days")):
        raise RefundTooLate(
            Text(zh="已超过原路退款期限。", en=f"Money goes back within {terms('refund_days')} days of the payment.")
        )


def _with_counter_payment(visit: Visit, command: PaidAtCounter) -> Visit:
    known = next((one for one in visit.counter if one.id == command.payment), None)
    if known is not None:
        if known.amount_fen != command.amount_fen:
            raise LineChanged(
                Text(zh="同一付款号的金额不同。", en=f"The payment {command.payment} was told with another amount.")
            )
        return visit
    return replace(visit, counter=(*visit.counter, CounterPayment(command.payment, command.amount_fen, command.at)))


def _ended() -> VisitEnded:
    return VisitEnded(Text(zh="该就诊已取消。", en="The visit was cancelled."))


def _paid() -> VisitPaid:
    return VisitPaid(
        Text(zh="账单已支付，不能再增加费用。", en="The bill is paid or being paid; it can only become less.")
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
