"""How a person's credit account covers the bill of a visit: holds, postings, releases, repayments and returns.

Every function is pure and can be repeated: if the account already has the step, it is returned unchanged.
"""

from datetime import datetime, timedelta

from backend.paylater.credit_account import CreditAccount, Hold, hold, move, post, supersede, void
from backend.services.medical_credit.model.terms import Terms
from backend.services.medical_credit.model.visit import Bill, Instalment, Payment, Refund, Settlement, Visit

CANCELLED = 2**31
"""The version of the holds of a cancelled visit, higher than any settlement number."""

_POSTED_AT_ONCE = timedelta(days=1)
"""The expiry of a hold that is posted in the same write, so it is never reached."""


def opening_hold_id(visit: Visit) -> str:
    """Return the id of the hold that is placed when a visit opens."""
    return f"{visit.id}/opening"


def hold_for_opening(account: CreditAccount, visit: Visit, at: datetime) -> tuple[CreditAccount, int]:
    """Hold the expected cost of a visit as far as credit is available. Returns the account and the held amount."""
    changed = hold(
        account,
        opening_hold_id(visit),
        visit.requested_hold_fen,
        created_at=visit.created_at,
        expires_at=visit.expires_at,
        at=at,
        allow_partial=True,
    )
    held = changed.find(opening_hold_id(visit))
    return changed, held.amount_fen if held is not None else 0


def cover(
    account: CreditAccount, visit: Visit, cash_fen: int, settlement: Settlement, at: datetime
) -> tuple[CreditAccount, int, int]:
    """Turn a person's cash share into debt, as far as the limit allows, and over the limit for an emergency.

    If the visit was billed before, only the difference is posted or released. Returns the account, the amount covered
    within the limit, and the amount over it; the rest is paid at the hospital's counter. Raises Superseded if a later
    settlement is already covered.
    """
    account = supersede(account, opening_hold_id(visit), settlement.number)
    for known in _holds(account, visit):
        if known.state == "held" and at < known.expires_at:
            missing_fen = max(0, cash_fen - _due_fen(account, visit))
            account = post(account, known.id, min(missing_fen, known.amount_fen), at)
    missing_fen = cash_fen - _due_fen(account, visit)
    if missing_fen < 0:
        account = _release(account, visit, -missing_fen, f"{visit.id}/release/{settlement.number}", at)
    if missing_fen > 0 and not visit.exceptional:
        account = _post_more(account, visit, missing_fen, settlement, over_limit=False)
        missing_fen = cash_fen - _due_fen(account, visit)
    if missing_fen > 0 and visit.kind == "emergency":
        account = _post_more(account, visit, missing_fen, settlement, over_limit=True)
    holds = _holds(account, visit)
    covered = sum(known.due_fen() for known in holds if not known.over_limit)
    return account, covered, sum(known.due_fen() for known in holds if known.over_limit)


def release_credit(account: CreditAccount, visit: Visit, at: datetime) -> CreditAccount:
    """Release all that a cancelled visit holds or owes, and supersede any hold or bill that is still in progress."""
    account = supersede(hold_for_opening(account, visit, at)[0], opening_hold_id(visit), CANCELLED)
    for known in _holds(account, visit):
        if known.state == "held" and at < known.expires_at:
            account = void(account, known.id, at)
    due_fen = _due_fen(account, visit)
    return _release(account, visit, due_fen, f"{visit.id}/cancel", at) if due_fen else account


def make_bill(settlement: Settlement, covered_fen: int, exception_fen: int, terms: Terms) -> Bill:
    """Return the one bill of a settled visit.

    The covered part has one due date; the part over the limit is due in instalments, of which the first includes the
    remainder of the division.
    """
    first_due = settlement.at + timedelta(hours=terms("repay_hours"))
    schedule = [Instalment(covered_fen, first_due)] if covered_fen else []
    share, rest = divmod(exception_fen, terms("instalments"))
    for number in range(terms("instalments") if exception_fen else 0):
        amount = share + (rest if number == 0 else 0)
        due_at = settlement.at + timedelta(days=terms("instalment_days") * (number + 1))
        if amount:
            schedule.append(Instalment(amount, due_at))
    cash_fen = settlement.split.cash_fen
    return Bill(
        number=settlement.number,
        cash_fen=cash_fen,
        covered_fen=covered_fen,
        exception_fen=exception_fen,
        counter_fen=cash_fen - covered_fen - exception_fen,
        issued_at=settlement.at,
        schedule=tuple(schedule),
    )


def apply_payment(account: CreditAccount, visit: Visit, payment: Payment) -> CreditAccount:
    """Apply a payment to the account: first to the debt within the limit, then to exceptions."""
    holds = sorted(_holds(account, visit), key=lambda known: known.over_limit)
    if any(transfer.id == payment.id for known in holds for transfer in known.transfers):
        return account
    left_fen = payment.amount_fen
    for known in holds:
        amount = min(left_fen, max(0, known.owed_fen())) if known.state == "posted" else 0
        if amount:
            account = move(account, known.id, payment.id, "repay", amount, payment.answered_at or payment.requested_at)
            left_fen -= amount
    return account


def apply_refund(account: CreditAccount, visit: Visit, refund: Refund) -> CreditAccount:
    """Apply a refund to the account: first to exceptions, then to the debt within the limit."""
    holds = sorted(_holds(account, visit), key=lambda known: not known.over_limit)
    if any(transfer.id == refund.id for known in holds for transfer in known.transfers):
        return account
    left_fen = refund.amount_fen
    for known in holds:
        amount = min(left_fen, max(0, -known.owed_fen()))
        if amount:
            account = move(account, known.id, refund.id, "return", amount, refund.answered_at or refund.requested_at)
            left_fen -= amount
    return account


def _holds(account: CreditAccount, visit: Visit) -> list[Hold]:
    return [known for known in account.holds if known.id.startswith(f"{visit.id}/")]


def _due_fen(account: CreditAccount, visit: Visit) -> int:
    return sum(known.due_fen() for known in _holds(account, visit))


def _post_more(
    account: CreditAccount, visit: Visit, amount_fen: int, settlement: Settlement, *, over_limit: bool
) -> CreditAccount:
    """Place and post an additional hold, once for each settlement."""
    name = f"{visit.id}/{settlement.number}{'/over_limit' if over_limit else ''}"
    if account.find(name) is not None:
        return account
    at = settlement.at
    account = hold(
        account,
        name,
        amount_fen,
        created_at=at,
        expires_at=at + _POSTED_AT_ONCE,
        at=at,
        allow_partial=not over_limit,
        over_limit=over_limit,
    )
    placed = account.find(name)
    assert placed is not None, "the hold was placed above"
    return post(account, name, placed.amount_fen, at)


def _release(account: CreditAccount, visit: Visit, amount_fen: int, transfer_id: str, at: datetime) -> CreditAccount:
    """Release debt without payment: exceptions first, then the latest holds."""
    left_fen = amount_fen
    for known in sorted(
        _holds(account, visit), key=lambda known: (not known.over_limit, -known.created_at.timestamp())
    ):
        amount = min(left_fen, known.due_fen())
        if amount:
            account = move(account, known.id, transfer_id, "release", amount, at)
            left_fen -= amount
    return account
