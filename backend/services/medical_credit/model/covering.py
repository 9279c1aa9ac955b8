"""How a visit's bill is carried by its person's credit account: what is posted, released, repaid and returned.

Every function is pure and may be repeated: an account that knows a step already comes back unchanged.
"""

from datetime import datetime, timedelta

from backend.paylater.credit_account import CreditAccount, Hold, hold, move, overtake, post, void
from backend.services.medical_credit.model.telling import Terms
from backend.services.medical_credit.model.visit import Bill, Due, Payment, Refund, Settlement, Visit

CANCELLED = 2**31
"""The edition of a visit's holds once it is cancelled: nothing follows it."""

_AT_ONCE = timedelta(days=1)
"""A hold that is posted in the same write never lives that long."""


def opening_hold_id(visit: Visit) -> str:
    """Give the id of the credit that is set aside when a visit opens."""
    return f"{visit.id}/opening"


def hold_for_opening(account: CreditAccount, visit: Visit, at: datetime) -> tuple[CreditAccount, int]:
    """Set aside what a visit is expected to cost, as far as the limit goes; give what was set aside, in fen."""
    wanted = visit.wanted_hold_fen
    changed = hold(
        account,
        opening_hold_id(visit),
        wanted,
        made_at=visit.made_at,
        expires_at=visit.expires_at,
        at=at,
        partly=True,
    )
    held = changed.find(opening_hold_id(visit))
    return changed, held.amount_fen if held is not None else 0


def cover(
    account: CreditAccount, visit: Visit, cash_fen: int, settlement: Settlement, at: datetime
) -> tuple[CreditAccount, int, int]:
    """Make a person's cash share their debt, as far as the limit goes, and beyond it for an emergency.

    Where the visit was billed before, only the difference is moved. Gives the account, what is covered within the limit
    and what beyond it; the rest is for the hospital's counter. Raises Overtaken where a later settlement was covered.
    """
    account = overtake(account, opening_hold_id(visit), settlement.number)
    for known in _holds(account, visit):
        if known.state == "held" and at < known.expires_at:
            lacking = max(0, cash_fen - _due_fen(account, visit))
            account = post(account, known.id, min(lacking, known.amount_fen), at)
    lacking = cash_fen - _due_fen(account, visit)
    if lacking < 0:
        account = _release(account, visit, -lacking, f"{visit.id}/release/{settlement.number}", at)
    if lacking > 0 and not visit.exceptional:
        account = _post_more(account, visit, lacking, settlement, over_limit=False)
        lacking = cash_fen - _due_fen(account, visit)
    if lacking > 0 and visit.kind == "emergency":
        account = _post_more(account, visit, lacking, settlement, over_limit=True)
    holds = _holds(account, visit)
    covered = sum(known.due_fen() for known in holds if not known.over_limit)
    return account, covered, sum(known.due_fen() for known in holds if known.over_limit)


def uncover(account: CreditAccount, visit: Visit, at: datetime) -> CreditAccount:
    """Take back all that a cancelled visit holds or owes; whoever still wants to hold or bill is overtaken."""
    account = overtake(hold_for_opening(account, visit, at)[0], opening_hold_id(visit), CANCELLED)
    for known in _holds(account, visit):
        if known.state == "held" and at < known.expires_at:
            account = void(account, known.id, at)
    due_fen = _due_fen(account, visit)
    return _release(account, visit, due_fen, f"{visit.id}/cancel", at) if due_fen else account


def make_bill(settlement: Settlement, covered_fen: int, exception_fen: int, terms: Terms) -> Bill:
    """Make the one bill of a settled visit: what is covered is due as a whole, what is beyond the limit in instalments.

    The first instalment takes the fen that do not divide.
    """
    first_due = settlement.at + timedelta(hours=terms("repay_hours"))
    schedule = [Due(covered_fen, first_due)] if covered_fen else []
    share, rest = divmod(exception_fen, terms("instalments"))
    for number in range(terms("instalments") if exception_fen else 0):
        amount = share + (rest if number == 0 else 0)
        due_at = settlement.at + timedelta(days=terms("instalment_days") * (number + 1))
        if amount:
            schedule.append(Due(amount, due_at))
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


def repay(account: CreditAccount, visit: Visit, payment: Payment) -> CreditAccount:
    """Note on the account that a payment was made, what is within the limit first."""
    holds = sorted(_holds(account, visit), key=lambda known: known.over_limit)
    if any(transfer.id == payment.id for known in holds for transfer in known.transfers):
        return account
    left = payment.amount_fen
    for known in holds:
        amount = min(left, max(0, known.owed_fen())) if known.state == "posted" else 0
        if amount:
            account = move(account, known.id, payment.id, "repay", amount, payment.answered_at or payment.asked_at)
            left -= amount
    return account


def give_back(account: CreditAccount, visit: Visit, refund: Refund) -> CreditAccount:
    """Note on the account that money was returned, what is beyond the limit first."""
    holds = sorted(_holds(account, visit), key=lambda known: not known.over_limit)
    if any(transfer.id == refund.id for known in holds for transfer in known.transfers):
        return account
    left = refund.amount_fen
    for known in holds:
        amount = min(left, max(0, -known.owed_fen()))
        if amount:
            account = move(account, known.id, refund.id, "return", amount, refund.answered_at or refund.asked_at)
            left -= amount
    return account


def _holds(account: CreditAccount, visit: Visit) -> list[Hold]:
    return [known for known in account.holds if known.id.startswith(f"{visit.id}/")]


def _due_fen(account: CreditAccount, visit: Visit) -> int:
    return sum(known.due_fen() for known in _holds(account, visit))


def _post_more(
    account: CreditAccount, visit: Visit, amount_fen: int, settlement: Settlement, *, over_limit: bool
) -> CreditAccount:
    """Hold and post more than was held, once for each settlement."""
    name = f"{visit.id}/{settlement.number}{'/over_limit' if over_limit else ''}"
    if account.find(name) is not None:
        return account
    at = settlement.at
    account = hold(
        account,
        name,
        amount_fen,
        made_at=at,
        expires_at=at + _AT_ONCE,
        at=at,
        partly=not over_limit,
        over_limit=over_limit,
    )
    made = account.find(name)
    assert made is not None, "it was held just now"
    return post(account, name, made.amount_fen, at)


def _release(account: CreditAccount, visit: Visit, amount_fen: int, transfer_id: str, at: datetime) -> CreditAccount:
    """Release a debt without payment, what is beyond the limit first, then the latest."""
    left = amount_fen
    for known in sorted(_holds(account, visit), key=lambda known: (not known.over_limit, -known.made_at.timestamp())):
        amount = min(left, known.due_fen())
        if amount:
            account = move(account, known.id, transfer_id, "release", amount, at)
            left -= amount
    return account
