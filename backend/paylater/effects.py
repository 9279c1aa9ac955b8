"""The steps of a bill that change a person's account or notify the person. Each can be repeated."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic

from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications
from backend.paylater.account import A, RecordedBreach, with_breach, with_limit, with_line, with_payment_on_time
from backend.paylater.bill import B, Billable, Terms, add_notice
from backend.paylater.coverage import (
    apply_payment,
    apply_refund,
    cover,
    hold_for_opening,
    make_bill,
    opening_hold_id,
    release_credit,
)
from backend.paylater.credit_line import CreditLine
from backend.paylater.notices import notice_text
from backend.paylater.steps import next_debit_at
from backend.store.update import update_document


class PayLater(Struct, Generic[A], frozen=True, kw_only=True):
    """The steps that change an account or notify a person, with what they need from a service.

    `limit_fen(city, account, purpose, now)` returns the limit of a line of credit, `terms(city, now)` the figures of
    the agreement in force.
    """

    account: type[A]
    limit_fen: Callable[[City, A, str, datetime], int]
    terms: Callable[[City, datetime], Terms]

    def credit_line(self, city: City, account: A, purpose: str, now: datetime) -> CreditLine:
        """Return a person's line of credit with the limit in force now."""
        return self._with_limit(city, account, purpose, now).credit[purpose]

    def _with_limit(self, city: City, account: A, purpose: str, now: datetime) -> A:
        return with_limit(account, purpose, self.limit_fen(city, account, purpose, now))

    async def _update_line(
        self,
        city: City,
        billable: Billable,
        now: datetime,
        change: Callable[[CreditLine], CreditLine],
        also: Callable[[A], A] = lambda account: account,
    ) -> A:
        """Change the line of credit of a Billable, with the limit in force now."""
        purpose = billable.purpose()

        def changed(found: A) -> A:
            account = self._with_limit(city, found, purpose, now)
            return also(with_line(account, purpose, change(account.credit[purpose])))

        return await self._update(city, billable, changed)

    async def _update(self, city: City, billable: Billable, change: Callable[[A], A]) -> A:
        account = await update_document(city.store, lambda: city.store.get(self.account, billable.person), change)
        assert account is not None, "accounts are closed and never deleted"
        return account

    async def hold(self, city: City, billable: B, now: datetime) -> B:
        """Hold the expected cost, as far as credit is available."""
        account = await self._update_line(city, billable, now, lambda line: hold_for_opening(line, billable, now))
        return _with_recorded_hold(billable, account.credit[billable.purpose()])

    async def cover(self, city: City, billable: B, now: datetime) -> B:
        """Turn the amount due into debt, and issue the single bill."""
        due = billable.amount_due()
        assert due is not None, "the amount due is decided before it is billed"
        account = await self._update_line(city, billable, now, lambda line: cover(line, billable, due, now))
        line = account.credit[billable.purpose()]
        billed = replace(
            _with_recorded_hold(billable, line),
            bill=make_bill(line, billable, due, self.terms(city, now)),
            bill_count=billable.bill_count + 1,
            automatic_debit=account.automatic_debit,
        )
        return add_notice(billed, "bill", billed.owed_fen(), now) if billed.owed_fen() > 0 else billed

    async def release_credit(self, city: City, billable: B, now: datetime) -> B:
        """Release what a cancelled Billable holds or owes, and withdraw its bill."""
        await self._update_line(city, billable, now, lambda line: release_credit(line, billable, now))
        with_notice = add_notice(billable, "cancelled", 0, now) if billable.bill is not None else billable
        return replace(with_notice, hold_placed=False, credit_released=True, bill=None, failures=0)

    async def apply_payment(self, city: City, billable: B, now: datetime) -> B:
        """Apply a payment to the account."""
        payment = next(one for one in billable.payments if one.state == "paid" and not one.applied)

        def record_payment_on_time(account: A) -> A:
            is_on_time = billable.owed_fen() <= 0 and billable.breached_at is None
            return with_payment_on_time(account, now) if is_on_time else account

        await self._update_line(
            city, billable, now, lambda line: apply_payment(line, billable, payment), record_payment_on_time
        )
        payments = tuple(replace(one, applied=True) if one is payment else one for one in billable.payments)
        return replace(billable, payments=payments, failures=0)

    async def apply_refund(self, city: City, billable: B, now: datetime) -> B:
        """Apply a refund to the account."""
        refund = next(one for one in billable.refunds if one.state == "done" and not one.applied)
        await self._update_line(city, billable, now, lambda line: apply_refund(line, billable, refund))
        refunds = tuple(replace(one, applied=True) if one is refund else one for one in billable.refunds)
        return replace(billable, refunds=refunds, failures=0)

    async def record_breach(self, city: City, billable: B, _now: datetime) -> B:
        """Record a breach once in the account; several in a row suspend the person."""
        assert billable.breached_at is not None, "there is a breach to record"
        breach = RecordedBreach(billable.breached_at, billable.id)
        await self._update(city, billable, lambda account: with_breach(account, breach))
        return replace(billable, breach_recorded=True)

    async def notify(self, city: City, billable: B, now: datetime) -> B:
        """Send the oldest notification; if interrupted, it is sent twice rather than never."""
        notice = next(one for one in billable.notices if not one.sent)
        next_debit = next_debit_at(billable, self.terms(city, now))
        text = notice_text(notice, billable, next_debit, city.rulebook.time_zone)
        await city.port(Notifications).notify(billable.person, text)
        notices = tuple(replace(one, sent=True) if one is notice else one for one in billable.notices)
        return replace(billable, notices=notices, failures=0)


def _with_recorded_hold(billable: B, line: CreditLine) -> B:
    held = line.find(opening_hold_id(billable))
    assert held is not None, "the hold was placed before"
    return replace(billable, hold_placed=True, held_fen=held.amount_fen, failures=0)
