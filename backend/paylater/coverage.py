"""How a line of credit covers a bill: holds, postings, releases, repayments and returns.

Every function is pure and can be repeated: if the line already has the step, it is returned unchanged.
"""

from datetime import datetime, timedelta

from backend.paylater.bill import AmountDue, Bill, Billable, Instalment, Payment, Refund, Terms
from backend.paylater.credit_line import CreditLine, Hold, hold, move, post, supersede, void

CANCELLED = 2**31
"""The version of the holds of a cancelled Billable, higher than the number of any decision."""

_UNREACHED_EXPIRY = timedelta(days=1)
"""The lifetime of a hold that is posted in the same write, so it never expires."""


def opening_hold_id(billable: Billable) -> str:
    """Return the id of the hold that is placed when a Billable opens."""
    return f"{billable.id}/opening"


def hold_for_opening(line: CreditLine, billable: Billable, at: datetime) -> CreditLine:
    """Hold the expected cost of a Billable as far as credit is available."""
    return hold(
        line,
        opening_hold_id(billable),
        billable.requested_hold_fen,
        created_at=billable.created_at,
        expires_at=billable.expires_at,
        at=at,
        allow_partial=True,
    )


def cover(line: CreditLine, billable: Billable, due: AmountDue, at: datetime) -> CreditLine:
    """Turn the amount due into debt, as far as the limit allows, and over the limit for an emergency.

    If it was billed before, only the difference is posted or released. What is not covered is paid to the provider.
    Raises Superseded if a later decision is already covered.
    """
    line = supersede(hold_for_opening(line, billable, at), opening_hold_id(billable), due.number)
    for known in _holds(line, billable):
        if known.state == "held" and at < known.expires_at:
            missing_fen = max(0, due.amount_fen - _due_fen(line, billable))
            line = post(line, known.id, min(missing_fen, known.amount_fen), at)
    missing_fen = due.amount_fen - _due_fen(line, billable)
    if missing_fen < 0:
        line = _release(line, billable, -missing_fen, f"{billable.id}/release/{due.number}", at)
    if missing_fen > 0 and not billable.exceptional:
        line = _post_more(line, billable, missing_fen, due, over_limit=False)
        missing_fen = due.amount_fen - _due_fen(line, billable)
    if missing_fen > 0 and billable.may_exceed_limit():
        line = _post_more(line, billable, missing_fen, due, over_limit=True)
    return line


def release_credit(line: CreditLine, billable: Billable, at: datetime) -> CreditLine:
    """Release all that a cancelled Billable holds or owes, and supersede any hold or bill that is still in progress."""
    line = supersede(hold_for_opening(line, billable, at), opening_hold_id(billable), CANCELLED)
    for known in _holds(line, billable):
        if known.state == "held" and at < known.expires_at:
            line = void(line, known.id, at)
    due_fen = _due_fen(line, billable)
    return _release(line, billable, due_fen, f"{billable.id}/cancel", at) if due_fen else line


def make_bill(line: CreditLine, billable: Billable, due: AmountDue, terms: Terms) -> Bill:
    """Return the single bill for an amount that a line of credit covers.

    The covered part has one due date; the part over the limit is due in instalments, of which the first includes the
    remainder of the division.
    """
    holds = _holds(line, billable)
    covered_fen = sum(known.due_fen() for known in holds if not known.over_limit)
    exception_fen = sum(known.due_fen() for known in holds if known.over_limit)
    first_due = due.at + timedelta(hours=terms("repay_hours"))
    schedule = [Instalment(covered_fen, first_due)] if covered_fen else []
    share, rest = divmod(exception_fen, terms("instalments"))
    for number in range(terms("instalments") if exception_fen else 0):
        amount = share + (rest if number == 0 else 0)
        due_at = due.at + timedelta(days=terms("instalment_days") * (number + 1))
        if amount:
            schedule.append(Instalment(amount, due_at))
    return Bill(
        number=due.number,
        cash_fen=due.amount_fen,
        covered_fen=covered_fen,
        exception_fen=exception_fen,
        counter_fen=due.amount_fen - covered_fen - exception_fen,
        issued_at=due.at,
        schedule=tuple(schedule),
    )


def apply_payment(line: CreditLine, billable: Billable, payment: Payment) -> CreditLine:
    """Apply a payment to the line: first to the debt within the limit, then to exceptions."""
    holds = sorted(_holds(line, billable), key=lambda known: known.over_limit)
    if any(transfer.id == payment.id for known in holds for transfer in known.transfers):
        return line
    left_fen = payment.amount_fen
    for known in holds:
        amount = min(left_fen, max(0, known.owed_fen())) if known.state == "posted" else 0
        if amount:
            line = move(line, known.id, payment.id, "repay", amount, payment.answered_at or payment.requested_at)
            left_fen -= amount
    return line


def apply_refund(line: CreditLine, billable: Billable, refund: Refund) -> CreditLine:
    """Apply a refund to the line: first to exceptions, then to the debt within the limit."""
    holds = sorted(_holds(line, billable), key=lambda known: not known.over_limit)
    if any(transfer.id == refund.id for known in holds for transfer in known.transfers):
        return line
    left_fen = refund.amount_fen
    for known in holds:
        amount = min(left_fen, max(0, -known.owed_fen()))
        if amount:
            line = move(line, known.id, refund.id, "return", amount, refund.answered_at or refund.requested_at)
            left_fen -= amount
    return line


def _holds(line: CreditLine, billable: Billable) -> list[Hold]:
    return [known for known in line.holds if known.id.startswith(f"{billable.id}/")]


def _due_fen(line: CreditLine, billable: Billable) -> int:
    return sum(known.due_fen() for known in _holds(line, billable))


def _post_more(
    line: CreditLine, billable: Billable, amount_fen: int, due: AmountDue, *, over_limit: bool
) -> CreditLine:
    """Place and post an additional hold, once for each amount due."""
    name = f"{billable.id}/{due.number}{'/over_limit' if over_limit else ''}"
    if line.find(name) is not None:
        return line
    at = due.at
    line = hold(
        line,
        name,
        amount_fen,
        created_at=at,
        expires_at=at + _UNREACHED_EXPIRY,
        at=at,
        allow_partial=not over_limit,
        over_limit=over_limit,
    )
    placed = line.find(name)
    assert placed is not None, "the hold was placed above"
    return post(line, name, placed.amount_fen, at)


def _release(line: CreditLine, billable: Billable, amount_fen: int, transfer_id: str, at: datetime) -> CreditLine:
    """Release debt without payment: exceptions first, then the latest holds."""
    left_fen = amount_fen
    for known in sorted(
        _holds(line, billable), key=lambda known: (not known.over_limit, -known.created_at.timestamp())
    ):
        amount = min(left_fen, known.due_fen())
        if amount:
            line = move(line, known.id, transfer_id, "release", amount, at)
            left_fen -= amount
    return line
