"""How a line of credit covers a bill: holds, postings, releases, repayments and returns.

Every function is pure and can be repeated: if the line already has the step, it is returned unchanged.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.paylater.bill import AmountDue, B, Bill, Billable, Instalment, LeftLine, Payment, Refund, Terms
from backend.paylater.credit_line import CreditLine, Hold, Movement, hold, move, post, supersede, void

CANCELLED = 2**31
"""The version of the holds of a cancelled Billable, higher than the number of any decision."""

_UNREACHED_EXPIRY = timedelta(days=1)
"""The lifetime of a hold that is posted in the same write, so it never expires."""


def opening_hold_id(billable: Billable) -> str:
    """Return the id of the hold that is placed when a Billable opens, or moves to another line of credit."""
    return f"{billable.id}/opening/{billable.moves}" if billable.moves else f"{billable.id}/opening"


def hold_for_opening(line: CreditLine, billable: Billable, at: datetime) -> CreditLine:
    """Hold the expected cost of a Billable as far as credit is available."""
    fen = billable.requested_hold_fen
    created_at = billable.moved_at or billable.created_at
    opening = Hold(opening_hold_id(billable), fen, fen, created_at, billable.expires_at)
    return hold(line, opening, at, allow_partial=True)


def move_to_purpose(before: B, after: B, requested_fen: int, at: datetime) -> B:
    """Return a Billable whose purpose has changed: it leaves its line of credit, and places a hold on the new one."""
    left = LeftLine(
        before.purpose(), opening_hold_id(before), before.requested_hold_fen, before.moved_at or before.created_at
    )
    return replace(
        after,
        left_lines=(*before.left_lines, left),
        moves=before.moves + 1,
        moved_at=at,
        requested_hold_fen=requested_fen,
        hold_placed=False,
        held_fen=0,
    )


def release_left_line(line: CreditLine, billable: Billable, left: LeftLine, at: datetime) -> CreditLine:
    """Release all that a Billable holds or owes on a line that it has left, and supersede a hold in progress there."""
    fen = left.requested_fen
    opening = Hold(left.hold_id, fen, fen, left.created_at, billable.expires_at)
    line = supersede(hold(line, opening, at, allow_partial=True), left.hold_id, CANCELLED)
    return _release_all(line, billable, f"{left.hold_id}/left", at)


def cover(line: CreditLine, billable: Billable, due: AmountDue, at: datetime) -> CreditLine:
    """Turn the amount due into debt, as far as the limit allows, and over the limit for an emergency.

    If it was billed before, only the difference is posted or released. What is not covered is paid to the provider, and
    what was paid there already is not covered. Raises Superseded if a later decision is already covered.
    """
    line = supersede(hold_for_opening(line, billable, at), opening_hold_id(billable), due.number)
    for known in _holds(line, billable):
        if known.is_pending(at):
            missing_fen = max(0, due.unpaid_fen() - _due_fen(line, billable))
            line = post(line, known.id, min(missing_fen, known.amount_fen), at)
    surplus_fen = _due_fen(line, billable) - due.unpaid_fen()
    if surplus_fen > 0:
        line = _release(line, billable, surplus_fen, f"{billable.id}/release/{due.number}", at)
    if not billable.exceptional:
        line = _post_missing(line, billable, due, over_limit=False)
    if billable.may_exceed_limit():
        line = _post_missing(line, billable, due, over_limit=True)
    return _balance(line, billable, f"{billable.id}/balance/{due.number}", at)


def release_credit(line: CreditLine, billable: Billable, at: datetime) -> CreditLine:
    """Release all that a cancelled Billable holds or owes, and supersede any hold or bill that is still in progress."""
    line = supersede(hold_for_opening(line, billable, at), opening_hold_id(billable), CANCELLED)
    return _release_all(line, billable, f"{billable.id}/cancel", at)


def _release_all(line: CreditLine, billable: Billable, transfer_id: str, at: datetime) -> CreditLine:
    for known in _holds(line, billable):
        if known.is_pending(at):
            line = void(line, known.id, at)
    return _release(line, billable, _due_fen(line, billable), transfer_id, at)


def make_bill(line: CreditLine, billable: Billable, due: AmountDue, terms: Terms) -> Bill:
    """Return the single bill for an amount that a line of credit covers.

    The covered part has one due date; the part over the limit is due in instalments, of which the first includes the
    remainder of the division.
    """
    holds = _holds(line, billable)
    covered_fen = sum(known.due_fen() for known in holds if not known.over_limit)
    exception_fen = sum(known.due_fen() for known in holds if known.over_limit)
    parts = [Instalment(covered_fen, due.at + timedelta(hours=terms("repay_hours")))]
    share_fen, rest_fen = divmod(exception_fen, terms("instalments"))
    for number in range(terms("instalments")):
        due_at = due.at + timedelta(days=terms("instalment_days") * (number + 1))
        parts.append(Instalment(share_fen + (rest_fen if number == 0 else 0), due_at))
    return Bill(
        number=due.number,
        cash_fen=due.amount_fen,
        covered_fen=covered_fen,
        exception_fen=exception_fen,
        counter_fen=due.amount_fen - covered_fen - exception_fen,
        issued_at=due.at,
        schedule=tuple(part for part in parts if part.amount_fen),
        paid_at_counter_fen=due.paid_at_counter_fen,
    )


def apply_transfer(line: CreditLine, billable: Billable, transfer: Payment | Refund) -> CreditLine:
    """Apply a payment to the line, first to the debt within the limit, then to exceptions; a refund the other way."""
    if any(one.id == transfer.id for known in _holds(line, billable) for one in known.transfers):
        return line
    at = transfer.answered_at or transfer.requested_at
    if isinstance(transfer, Payment):
        return _repay(line, billable, transfer.id, at)
    holds = sorted(_holds(line, billable), key=lambda known: known.over_limit, reverse=True)
    line = _move(line, holds, transfer.id, "return", _excess_fen(line, billable), at, lambda known: -known.owed_fen())
    return _move(
        line, _holds(line, billable), f"{transfer.id}/due", "return", _excess_fen(line, billable), at, _repaid_fen
    )


def _repay(line: CreditLine, billable: Billable, transfer_id: str, at: datetime) -> CreditLine:
    """Repay what the person has paid, as far as it is owed: a payment may exceed a bill that is lowered meanwhile."""
    holds = sorted(_holds(line, billable), key=lambda known: known.over_limit)
    return _move(line, holds, transfer_id, "repay", -_excess_fen(line, billable), at, Hold.owed_fen)


def _balance(line: CreditLine, billable: Billable, transfer_id: str, at: datetime) -> CreditLine:
    """Let what exceeded an earlier bill repay the debt that is posted now, unless it was refunded before."""
    holds = sorted(_holds(line, billable), key=lambda known: known.over_limit, reverse=True)
    owed_fen = sum(max(0, known.owed_fen()) for known in holds)
    line = _move(line, holds, transfer_id, "return", owed_fen, at, lambda known: -known.owed_fen())
    return _repay(line, billable, transfer_id, at)


def _excess_fen(line: CreditLine, billable: Billable) -> int:
    """Return by how much the holds are repaid beyond what the person has paid and owes; below zero if by less."""
    repaid_fen = sum(map(_repaid_fen, _holds(line, billable)))
    return repaid_fen - min(billable.paid_fen(), _due_fen(line, billable))


def _repaid_fen(known: Hold) -> int:
    return known.moved_fen("repay") - known.moved_fen("return")


def _holds(line: CreditLine, billable: Billable) -> list[Hold]:
    return [known for known in line.holds if known.id.startswith(f"{billable.id}/")]


def _due_fen(line: CreditLine, billable: Billable) -> int:
    return sum(known.due_fen() for known in _holds(line, billable))


def _post_missing(line: CreditLine, billable: Billable, due: AmountDue, *, over_limit: bool) -> CreditLine:
    """Hold and post what is not covered yet, once for each amount due."""
    name = f"{billable.id}/{due.number}{'/over_limit' if over_limit else ''}"
    missing_fen = due.unpaid_fen() - _due_fen(line, billable)
    if missing_fen <= 0 or line.find(name) is not None:
        return line
    missing = Hold(name, missing_fen, missing_fen, due.at, due.at + _UNREACHED_EXPIRY, over_limit)
    line = hold(line, missing, due.at, allow_partial=True)
    return post(line, name, line.get(name).amount_fen, due.at)


def _release(line: CreditLine, billable: Billable, amount_fen: int, transfer_id: str, at: datetime) -> CreditLine:
    """Release debt without payment: exceptions first, then the latest holds."""
    holds = sorted(_holds(line, billable), key=lambda known: (known.over_limit, known.created_at), reverse=True)
    return _move(line, holds, transfer_id, "release", amount_fen, at, Hold.due_fen)


def _move(
    line: CreditLine,
    holds: Iterable[Hold],
    transfer_id: str,
    kind: Movement,
    amount_fen: int,
    at: datetime,
    movable_fen: Callable[[Hold], int],
) -> CreditLine:
    """Move an amount on several holds: as much as possible on the first, the rest on the next."""
    for known in holds:
        moved_fen = min(amount_fen, movable_fen(known))
        if moved_fen > 0:
            line = move(line, known.id, transfer_id, kind, moved_fen, at)
            amount_fen -= moved_fen
    return line
