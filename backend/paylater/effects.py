"""The steps of a bill that change a person's account or notify the person. Each can be repeated."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.notices import notify
from backend.city.service import City
from backend.i18n import Text, yuan
from backend.paylater.account import A, RecordedBreach, with_breach, with_payment_on_time
from backend.paylater.bill import B, Billable, Notice, Payment, Terms, add_notice, with_transfer
from backend.paylater.coverage import (
    apply_transfer,
    cover,
    hold_for_opening,
    make_bill,
    opening_hold_id,
    release_credit,
    release_left_line,
)
from backend.paylater.credit_line import CreditLine, Superseded
from backend.paylater.steps import next_debit_at
from backend.problems import Problem
from backend.store.in_hand import change_in_hand, keep_in_hand
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
        limit_fen = self.limit_fen(city, account, purpose, now)
        line = account.credit.get(purpose, CreditLine(limit_fen=limit_fen))
        return line if line.limit_fen == limit_fen else replace(line, limit_fen=limit_fen)

    async def _update_line(
        self,
        city: City,
        billable: Billable,
        now: datetime,
        change: Callable[[CreditLine], CreditLine],
        also: Callable[[A], A] = lambda account: account,
        of: str | None = None,
    ) -> A:
        """Change the line of credit of a Billable, or that `of` another purpose, with the limit in force now."""
        purpose = of or billable.purpose()

        def changed(account: A) -> A:
            line = change(self.credit_line(city, account, purpose, now))
            is_same = account.credit.get(purpose) is line
            return also(account if is_same else replace(account, credit={**account.credit, purpose: line}))

        return await self._update(city, billable, changed)

    async def _update(self, city: City, billable: Billable, change: Callable[[A], A]) -> A:
        async def by_copy(account: A) -> A:
            return change(account)

        store, person = city.store, billable.person
        account = await change_in_hand(store, self.account, person, by_copy, (Problem, Superseded))
        if account is None:
            account = await update_document(store, lambda: store.get(self.account, person), change)
        assert account is not None, "accounts are closed and never deleted"
        keep_in_hand(store, account)
        return account

    async def hold(self, city: City, billable: B, now: datetime) -> B:
        """Hold the expected cost, as far as credit is available."""
        account = await self._update_line(city, billable, now, lambda line: hold_for_opening(line, billable, now))
        return _with_recorded_hold(billable, account.credit[billable.purpose()])

    async def release_left_line(self, city: City, billable: B, now: datetime) -> B:
        """Release what a Billable holds or owes on a line of credit that it no longer uses."""
        left, *others = billable.left_lines
        await self._update_line(
            city, billable, now, lambda line: release_left_line(line, billable, left, now), of=left.purpose
        )
        return replace(billable, left_lines=tuple(others), failures=0)

    async def cover(self, city: City, billable: B, now: datetime) -> B:
        """Turn the amount due into debt, and issue the single bill."""
        due = billable.amount_due()
        assert due is not None, "the amount due is decided before it is billed"
        is_paid_at_counter = due.paid_at_counter_fen > 0 and due.unpaid_fen() <= billable.paid_fen()
        is_on_time = is_paid_at_counter and billable.breached_at is None
        account = await self._update_line(
            city,
            billable,
            now,
            lambda line: cover(line, billable, due, now),
            lambda account: with_payment_on_time(account, now) if is_on_time else account,
        )
        line = account.credit[billable.purpose()]
        billed = replace(
            _with_recorded_hold(billable, line),
            bill=make_bill(line, billable, due, self.terms(city, now)),
            bill_count=billable.bill_count + 1,
            automatic_debit=account.automatic_debit,
        )
        return _with_bill_notices(billable, billed, now)

    async def release_credit(self, city: City, billable: B, now: datetime) -> B:
        """Release what a cancelled Billable holds or owes, and withdraw its bill."""
        await self._update_line(city, billable, now, lambda line: release_credit(line, billable, now))
        with_notice = add_notice(billable, "cancelled", 0, now) if billable.bill is not None else billable
        return replace(with_notice, hold_placed=False, credit_released=True, bill=None, failures=0)

    async def apply_transfer(self, city: City, billable: B, now: datetime) -> B:
        """Apply a payment or refund to the account."""
        transfer = next(one for one in billable.transfers() if one.is_done() and not one.applied)
        is_on_time = isinstance(transfer, Payment) and billable.owed_fen() <= 0 and billable.breached_at is None
        await self._update_line(
            city,
            billable,
            now,
            lambda line: apply_transfer(line, billable, transfer),
            lambda account: with_payment_on_time(account, now) if is_on_time else account,
        )
        return replace(with_transfer(billable, replace(transfer, applied=True)), failures=0)

    async def record_breach(self, city: City, billable: B, _now: datetime) -> B:
        """Record a breach once in the account; several in a row suspend the person."""
        assert billable.breached_at is not None, "there is a breach to record"
        breach = RecordedBreach(billable.breached_at, billable.id)
        await self._update(city, billable, lambda account: with_breach(account, breach))
        return replace(billable, breach_recorded=True)

    async def notify(self, city: City, billable: B, now: datetime) -> B:
        """Send the oldest notification, once, however often the step is repeated."""
        number, notice = next((number, one) for number, one in enumerate(billable.notices) if not one.sent)
        next_debit = next_debit_at(billable, self.terms(city, now))
        text = notice_text(notice, billable, next_debit, city.rulebook.time_zone)
        await notify(city, billable.person, f"{billable.collection}/{billable.id}/notices/{number}", text)
        notices = tuple(replace(one, sent=True) if one is notice else one for one in billable.notices)
        return replace(billable, notices=notices, failures=0)


def _with_bill_notices(before: B, billed: B, now: datetime) -> B:
    """Tell the person what to pay, or that nothing is left to pay because of what was paid at the counter."""
    bill = billed.bill
    assert bill is not None, "it was just billed"
    overpaid_fen = bill.overpaid_at_counter_fen()
    known_overpaid_fen = before.bill.overpaid_at_counter_fen() if before.bill is not None else 0
    if billed.owed_fen() > 0:
        billed = add_notice(billed, "bill", billed.owed_fen(), now)
    elif before.owed_fen() > 0 and bill.paid_at_counter_fen:
        kind = "paid_at_counter" if before.breached_at is None else "restored"
        billed = add_notice(billed, kind, bill.paid_at_counter_fen, now)
    if overpaid_fen > known_overpaid_fen:
        billed = add_notice(billed, "overpaid_at_counter", overpaid_fen, now)
    return billed


def _with_recorded_hold(billable: B, line: CreditLine) -> B:
    held_fen = line.get(opening_hold_id(billable)).amount_fen
    return replace(billable, hold_placed=True, held_fen=held_fen, failures=0)


def notice_text(notice: Notice, billable: Billable, next_debit_at: datetime | None, zone: ZoneInfo) -> Text:
    """Return the text of a notification, with dates in the city's time.

    A bill that was paid or cancelled before its notification is sent has no due date to name.
    """
    texts, parts, amount = billable.texts, billable.unpaid(), yuan(notice.amount_fen)
    if notice.kind == "debit_failed" and next_debit_at is not None:
        return texts.debit_retried.format(yuan=amount, at=_local(next_debit_at, zone))
    if notice.kind != "bill" or not parts or billable.owed_fen() != notice.amount_fen:
        return texts.notices[notice.kind].format(yuan=amount)
    at, first, is_debited = _local(parts[0].due_at, zone), yuan(parts[0].amount_fen), billable.automatic_debit
    if len(parts) == 1:
        return (texts.bill_by_debit if is_debited else texts.bill_by).format(yuan=amount, at=at)
    text = texts.instalments_by_debit if is_debited else texts.instalments_by
    return text.format(yuan=amount, at=at, first=first, count=str(len(parts)))


def _local(at: datetime, zone: ZoneInfo) -> Text:
    local = at.astimezone(zone)
    return Text(zh=f"{local.month}月{local.day}日{local.hour}:{local:%M}", en=f"{local:%Y-%m-%d %H:%M}")
