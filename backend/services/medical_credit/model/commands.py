"""The commands that a hospital sends about a visit, and how they change it: pure and idempotent.

FHIR and HL7 v2 messages are both mapped to commands. A hospital reports a Line or a CounterPayment as the visit stores
it. A command may arrive more than once: these two, withdrawals and settlements are recognised by their id within the
visit, other commands by the id of the `event` that carried them.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import RESIDENT_CARD, DocumentKind, IdentityDocument
from backend.i18n import yuan
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.enrolment import Terms
from backend.services.medical_credit.model.hospital_settlement import (
    ReportCancellation,
    ReportSettlement,
    apply_report,
    is_reported,
)
from backend.services.medical_credit.model.unreferenced_line import UnreferencedLine, referenced
from backend.services.medical_credit.model.visit import MAX_EVENTS, MAX_LINES, CounterPayment, Line, Visit
from backend.store.time import to_ms

MAX_AMOUNT_FEN = 10_000_000_000
"""A hundred million yuan, the maximum of one line; sums stay far below 64 bits."""
MAX_AHEAD = timedelta(days=1)
"""How far a visit may begin in the future: clocks and time zones of hospitals may be wrong."""


class OpenVisit(Struct, frozen=True):
    """Open a visit of the person with an identity document, a desk token, or both.

    `estimate_fen` is the hospital's estimate of the person's share. If `admits`, a visit that is open already may
    change its kind, as from emergency to inpatient. `opened_at` is the time of the message unless it `is_dated`.
    """

    id_number: str | None
    kind: VisitKind
    opened_at: datetime
    estimate_fen: int | None = None
    document_kind: DocumentKind = RESIDENT_CARD
    admits: bool = False
    desk_token: str | None = None
    is_dated: bool = True

    def document(self) -> IdentityDocument | None:
        """Return the patient's identity document as the hospital sent it."""
        return None if self.id_number is None else IdentityDocument(self.id_number, self.document_kind)


class ChangeVisit(Struct, frozen=True):
    """Correct the data of a visit (A08, P05); None leaves a field unchanged."""

    kind: VisitKind | None = None
    opened_at: datetime | None = None
    id_number: str | None = None
    document_kind: DocumentKind = RESIDENT_CARD

    def document(self) -> IdentityDocument | None:
        """Return the patient's identity document as the hospital sent it."""
        return None if self.id_number is None else IdentityDocument(self.id_number, self.document_kind)


class CloseVisit(Struct, frozen=True):
    """Close a visit (A03). With `final`, no more charges are expected (P06) and the bill is issued at once."""

    at: datetime
    final: bool = False


class ReopenVisit(Struct, frozen=True):
    """Reopen a closed visit (A13)."""


class CancelVisit(Struct, frozen=True):
    """Cancel a visit that did not take place (A11); payments are refunded."""


class WithdrawCounterPayment(Struct, frozen=True):
    """Withdraw a payment at the counter: it was paid back, or it is `mistaken` and was never made.

    `amount_fen` must be its amount, if it is given.
    """

    id: str
    amount_fen: int | None = None
    mistaken: bool = False


Command = (
    OpenVisit
    | ChangeVisit
    | Line
    | UnreferencedLine
    | CounterPayment
    | WithdrawCounterPayment
    | CloseVisit
    | ReopenVisit
    | CancelVisit
    | ReportSettlement
    | ReportCancellation
)
_ALSO_WHEN_CANCELLED = CounterPayment | WithdrawCounterPayment | CancelVisit | ReportCancellation


def transition(visit: Visit, command: Command, event: str, person: str | None, terms: Terms, now: datetime) -> Visit:
    """Return the visit after a command, or the same object if the command was applied before.

    `event` identifies the message that carried the command; `person` is the person whom an ID number in it identifies.
    Raises the Problems of `model.problems`.
    """
    if isinstance(command, UnreferencedLine):
        command = referenced(visit, command)
    if _is_known(visit, command, event):
        return visit
    if visit.cancelled_at is not None and not isinstance(command, _ALSO_WHEN_CANCELLED):
        raise problems.VisitCancelled(zh="该就诊已取消。", en="The visit was cancelled.")
    match command:
        case Line():
            return _with_line(visit, command, terms, now)
        case CounterPayment() | WithdrawCounterPayment():
            return _at_counter(visit, command, terms, now)
        case ReportSettlement() | ReportCancellation():
            return apply_report(visit, command, now)
        case OpenVisit():
            changed = _same_opening(visit, command, person, now)
        case ChangeVisit():
            changed = _corrected(visit, command, person, now)
        case CloseVisit():
            changed = _closed(visit, command, terms, now)
        case ReopenVisit():
            changed = _reopened(visit, now)
        case CancelVisit():
            changed = visit if visit.cancelled_at is not None else replace(visit, cancelled_at=now, due_ms=to_ms(now))
    # An event that changes nothing is recorded too: repeated after the opposite command, it must still change nothing.
    events = (*visit.events, event)[-MAX_EVENTS:]
    return replace(changed, events=events, transitions=visit.transitions + (changed is not visit))


def _is_known(visit: Visit, command: Command, event: str) -> bool:
    """Return whether a command was applied before. Raises LineChanged if its id had other contents."""
    match command:
        case Line():
            known = visit.line(command.id)
            if (
                known is not None
                and replace(known, title=command.title, at=command.at, explanation=command.explanation) != command
            ):
                raise problems.LineChanged(
                    zh=f"费用明细号{command.id}重复，但内容不同。",
                    en=f"The visit already has a line {command.id} with other contents.",
                )
            return known is not None
        case CounterPayment():
            paid = visit.counter_payment(command.id)
            if paid is not None and paid.amount_fen != command.amount_fen:
                raise problems.LineChanged(
                    zh=f"窗口支付号{command.id}重复，但金额不同。",
                    en=f"Counter payment {command.id} was already reported with another amount.",
                )
            return paid is not None
        case WithdrawCounterPayment():
            paid = visit.counter_payment(command.id)
            if paid is not None:
                _check_whole(paid, command)
            return paid is not None and paid.withdrawn_at is not None
        case ReportSettlement() | ReportCancellation():
            return is_reported(visit, command)
        case _:
            return event in visit.events


def _same_opening(visit: Visit, command: OpenVisit, person: str | None, now: datetime) -> Visit:
    if person != visit.person:
        raise problems.OtherPatient(
            zh="该就诊号已用于其他患者，请核对患者证件号码和就诊号。",
            en="This visit number is another patient's; check the patient's number and the visit number.",
        )
    if command.kind != visit.kind and not command.admits:
        raise problems.VisitChanged(
            zh="该就诊号已用于其他就诊类别。", en="This visit number is already used for another kind of visit."
        )
    return visit if command.kind == visit.kind else _corrected(visit, ChangeVisit(command.kind), None, now)


def check_beginning(opened_at: datetime, now: datetime) -> None:
    """Raise VisitBeginsLater unless a visit has begun, give or take a clock or time zone that is wrong."""
    if opened_at > now + MAX_AHEAD:
        raise problems.VisitBeginsLater(
            zh="就诊开始时间不能晚于现在超过1天；预约的就诊请在患者到院后再登记。",
            en="A visit cannot begin more than a day from now; send a planned visit when the patient has come.",
        )


def _corrected(visit: Visit, command: ChangeVisit, person: str | None, now: datetime) -> Visit:
    if command.id_number is not None and person != visit.person:
        raise problems.OtherPatient(
            zh="就诊人不能更改，请取消本次就诊后重新登记。",
            en="The patient of a visit cannot change; cancel the visit and open another.",
        )
    if command.opened_at is not None:
        check_beginning(command.opened_at, now)
    kind, opened_at = command.kind or visit.kind, command.opened_at or visit.opened_at
    if (kind, opened_at) == (visit.kind, visit.opened_at):
        return visit
    if visit.without_consent and kind == "outpatient":
        raise problems.VisitChanged(
            zh="该急诊未经患者授权，不能改为门诊；请取消后凭就诊授权码重新登记。",
            en="This emergency was opened without consent; cancel it, and open an outpatient visit with a desk token.",
        )
    if kind != visit.kind and (visit.settlement or visit.attempt or visit.bill or visit.was_paid()):
        raise problems.VisitChanged(zh="已结算的就诊不能更改类别。", en="The kind of a settled visit cannot change.")
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
        raise _paid(visit)
    return replace(visit, closed_at=None, settle_at=None, due_ms=to_ms(now))


def _at_counter(visit: Visit, command: CounterPayment | WithdrawCounterPayment, terms: Terms, now: datetime) -> Visit:
    if isinstance(command, CounterPayment):
        return _with_counter_payment(visit, command, terms, now)
    return _without_counter_payment(visit, command, now)


def _with_counter_payment(visit: Visit, payment: CounterPayment, terms: Terms, now: datetime) -> Visit:
    if visit.was_paid():
        _check_refund_period(visit, terms, now)
    return _with_counter_payments(visit, (*visit.counter_payments, payment), now)


def _with_counter_payments(visit: Visit, payments: tuple[CounterPayment, ...], now: datetime) -> Visit:
    """Return the visit with other payments at the counter; its bill is decided again if it is settled."""
    due_ms = visit.due_ms if visit.settlement is None else to_ms(now)
    return replace(visit, counter_payments=payments, due_ms=due_ms)


def _without_counter_payment(visit: Visit, command: WithdrawCounterPayment, now: datetime) -> Visit:
    paid = visit.counter_payment(command.id)
    if paid is None:
        raise problems.UnknownLine(
            zh=f"没有找到窗口支付{command.id}。", en=f"The visit has no counter payment {command.id}.", line=command.id
        )
    withdrawn = replace(paid, withdrawn_at=now, mistaken=command.mistaken)
    payments = tuple(withdrawn if one is paid else one for one in visit.counter_payments)
    return _with_counter_payments(visit, payments, now)


def _check_whole(paid: CounterPayment, command: WithdrawCounterPayment) -> None:
    if command.amount_fen not in (None, paid.amount_fen):
        amount = yuan(paid.amount_fen)
        raise problems.WithdrawalDiffers(
            zh=f"窗口支付{paid.id}为{amount}元，只能全额撤销；如金额有误，请全额撤销后以新的编号重新报告。",
            en=f"Counter payment {paid.id} is of {amount} yuan and can only be withdrawn as a whole; "
            "then report what was kept under another id.",
        )


def _with_line(visit: Visit, line: Line, terms: Terms, now: datetime) -> Visit:
    if len(visit.lines) >= MAX_LINES:
        raise problems.TooManyLines(
            zh=f"一次就诊最多{MAX_LINES:,}条费用明细。", en=f"A visit can have at most {MAX_LINES:,} lines."
        )
    if line.of is not None:
        _check_charge(visit, line)
    if visit.was_paid() and line.amount_fen:
        if line.amount_fen > 0:
            raise _paid(visit)
        _check_refund_period(visit, terms, now)
    settles = visit.closed_at is not None and visit.settlement is not None
    due_ms = to_ms(now) if settles else visit.due_ms
    return replace(visit, lines=(*visit.lines, line), retry_at=None, due_ms=due_ms)


def _check_charge(visit: Visit, line: Line) -> None:
    charge = visit.line(line.of or "")
    if charge is None or charge.of is not None:
        raise problems.UnknownLine(
            zh=f"没有找到所引用的费用明细{line.of}。", en=f"The visit has no charge {line.of}.", line=line.of
        )
    remaining_fen = visit.net_fen(charge.id)
    if remaining_fen + line.amount_fen < 0:
        raise problems.LineExceeded(
            zh=f"退费金额超过该费用明细的可退金额（{yuan(remaining_fen)}元）。",
            en=f"The amount exceeds what remains of charge {line.of}: {yuan(remaining_fen)} yuan.",
            remaining_fen=remaining_fen,
        )


def _check_refund_period(visit: Visit, terms: Terms, now: datetime) -> None:
    first = min(payment.requested_at for payment in visit.payments if payment.state != "failed")
    if now - first > timedelta(days=terms("refund_days")):
        raise problems.RefundTooLate(
            zh=f"付款已满{terms('refund_days')}天，不能再原路退回。",
            en=f"A payment can be refunded only within {terms('refund_days')} days.",
        )


def _paid(visit: Visit) -> problems.VisitPaid:
    if any(payment.state == "paid" for payment in visit.payments):
        return problems.VisitPaid(
            zh="账单已支付，不能再增加费用。", en="The bill is paid; no more charges can be added."
        )
    return problems.VisitBeingPaid(
        zh="账单正在支付，请稍后再试。", en="The bill is being paid; try again once the payment is decided."
    )
