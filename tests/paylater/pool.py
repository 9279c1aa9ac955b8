"""A fictional service that uses the engine: people swim first and pay later."""

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.i18n import Text
from backend.jobs.saga import DUE, Decision, Request, Saga
from backend.jobs.tasks import TaskReference
from backend.paylater.account import Account
from backend.paylater.bill import AmountDue, Billable, BillTexts, TermName, Terms
from backend.paylater.credit_line import Superseded
from backend.paylater.effects import PayLater
from backend.paylater.family import FamilyConsent
from backend.paylater.steps import (
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
from backend.store import Index
from backend.store.update import insert_or_get

LIMIT_FEN = 30_000
TERMS: dict[TermName, int] = {
    "repay_hours": 48,
    "reminders_at_most": 2,
    "reminder_hours": 24,
    "debit_tries": 3,
    "debit_retry_hours": 12,
    "instalments": 3,
    "instalment_days": 30,
    "family_at_most": 2,
}
_TEXT = Text(zh="{yuan}元", en="{yuan} yuan")


class Swimmer(Account, kw_only=True):
    """A swimmer's account."""

    collection: ClassVar[str] = "swimmers"
    not_enrolled: ClassVar[Text] = Text(zh="请先登记。", en="Please register first.")
    outstanding: ClassVar[Text] = Text(zh="请先付清。", en="Please pay first.")


class Companion(FamilyConsent, kw_only=True):
    """A family member who pays for a swimmer."""

    collection: ClassVar[str] = "swimming_companions"


class Price(Struct, frozen=True):
    """The price of a swim, set when the swimmer leaves and again whenever the pool corrects it."""

    amount_fen: int
    at: datetime


class Swim(Billable, kw_only=True):
    """A swim, or a lesson, which may exceed the limit."""

    collection: ClassVar[str] = "swims"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("person", "owing")), DUE)
    texts: ClassVar[BillTexts] = BillTexts(
        notices=dict.fromkeys(
            ("bill", "reminder", "debit_failed", "suspended", "restored", "refunded", "cancelled"), _TEXT
        ),
        bill_by=_TEXT,
        bill_by_debit=_TEXT,
        instalments_by=_TEXT,
        instalments_by_debit=_TEXT,
        debit_retried=_TEXT,
        nothing_to_pay=_TEXT,
    )

    kind: Literal["swim", "lesson"] = "swim"
    prices: tuple[Price, ...] = ()

    def purpose(self) -> str:
        return "swimming"

    def may_exceed_limit(self) -> bool:
        return self.kind == "lesson"

    def amount_due(self) -> AmountDue | None:
        if not self.prices or self.cancelled_at is not None:
            return None
        return AmountDue(len(self.prices), self.prices[-1].amount_fen, self.prices[-1].at)


def _schedule(swim: Swim, now: datetime, terms: Terms) -> Swim:
    return scheduled(swim, now, bill_due_times(swim, terms), is_due=bill_step(swim, now, terms) is not None)


def _terms(_city: City, _now: datetime) -> Terms:
    return TERMS.__getitem__


pay_later = PayLater(account=Swimmer, limit_fen=lambda _city, _account, _purpose, _now: LIMIT_FEN, terms=_terms)

swim_saga = Saga(
    kind=Swim,
    next_step=bill_step,
    schedule=_schedule,
    terms=_terms,
    steps={
        BillStep.HOLD: pay_later.hold,
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
    },
    task=TaskReference("medical_credit.advance"),
    unavailable=(UpstreamTimeout,),
    retried=(Superseded,),
)


async def register(city: City, person: str, *, automatic_debit: bool) -> None:
    now = city.now()
    await insert_or_get(
        city.store, Swimmer(id=person, agreement="1", consented_at=now, automatic_debit=automatic_debit)
    )


async def enter(city: City, swim_id: str, person: str, kind: Literal["swim", "lesson"], expected_fen: int) -> None:
    now = city.now()
    expires_at = now + timedelta(days=1)
    opened = Swim(
        id=swim_id, person=person, kind=kind, created_at=now, requested_hold_fen=expected_fen, expires_at=expires_at
    )
    await swim_saga.start(city, opened)


async def set_price(city: City, swim_id: str, fen: int) -> None:
    """End a swim with its price, or correct the price."""

    def priced(found: Swim, now: datetime) -> Swim:
        if found.cancelled_at is not None:
            return found
        return replace(found, closed_at=found.closed_at or now, prices=(*found.prices, Price(fen, now)))

    await swim_saga.update(city, swim_id, priced)


async def cancel(city: City, swim_id: str) -> None:
    await swim_saga.update(city, swim_id, lambda found, now: replace(found, cancelled_at=found.cancelled_at or now))
