"""What citizens are shown of their visits and bills."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import LineKind, Stage, Visit


class LineShown(Struct, frozen=True):
    """A line of a visit; credits are below zero and name the charge they are `of`."""

    id: str
    kind: LineKind
    title: str
    amount_fen: int
    at: datetime
    of: str | None


class Share(Struct, frozen=True):
    """Who carries a part of the medical fee, and why it is so."""

    who: Literal["fund", "hospital", "account", "family_account", "cash"]
    amount_fen: int
    because: Text


class DueShown(Struct, frozen=True):
    """A part of the bill that is still to be paid, and by when."""

    amount_fen: int
    due_at: datetime


class BillShown(Struct, frozen=True):
    """The one bill of a visit.

    `cash_fen` is what the insurance left to the person: `covered_fen` by credit, `exception_fen` beyond the limit and
    in instalments, `counter_fen` at the hospital itself. `unpaid` says what is still due and when.
    """

    cash_fen: int
    covered_fen: int
    exception_fen: int
    counter_fen: int
    paid_fen: int
    owed_fen: int
    payable_now_fen: int
    issued_at: datetime
    unpaid: list[DueShown]


class TransferShown(Struct, frozen=True):
    """A payment or a refund, and what became of it."""

    id: str
    kind: Literal["payment", "refund"]
    means: Literal["citizen", "family", "automatic", "original"]
    amount_fen: int
    at: datetime
    state: Literal["asked", "paid", "failed", "done"]
    receipt: str | None


class VisitShown(Struct, frozen=True):
    """A visit to a hospital, as its patient sees it; `shares` explain the medical fee once it was settled."""

    id: str
    hospital: str
    kind: VisitKind
    stage: Stage
    opened_at: datetime
    closed_at: datetime | None
    medical_fee_fen: int
    lines: list[LineShown]
    shares: list[Share]
    bill: BillShown | None
    transfers: list[TransferShown]


class VisitInList(Struct, frozen=True):
    """A visit in short."""

    id: str
    hospital: str
    kind: VisitKind
    stage: Stage
    opened_at: datetime
    medical_fee_fen: int
    owed_fen: int


class Visits(Struct, frozen=True):
    """Visits, newest first, and the cursor of the next page; none after the last."""

    visits: list[VisitInList]
    cursor: str | None


def visit_in_list(visit: Visit, hospital: Hospital | None) -> VisitInList:
    """Show a visit in short."""
    return VisitInList(
        visit.id,
        _name(visit, hospital),
        visit.kind,
        visit.stage(),
        visit.opened_at,
        visit.total_fen(),
        max(0, visit.owed_fen()),
    )


def visit_shown(visit: Visit, hospital: Hospital | None, now: datetime) -> VisitShown:
    """Show a visit whole."""
    return VisitShown(
        id=visit.id,
        hospital=_name(visit, hospital),
        kind=visit.kind,
        stage=visit.stage(),
        opened_at=visit.opened_at,
        closed_at=visit.closed_at,
        medical_fee_fen=visit.total_fen(),
        lines=[LineShown(one.id, one.kind, one.title, one.amount_fen, one.at, one.of) for one in visit.lines],
        shares=_shares(visit),
        bill=_bill(visit, now),
        transfers=_transfers(visit),
    )


def _name(visit: Visit, hospital: Hospital | None) -> str:
    return hospital.name if hospital is not None else visit.hospital


def _shares(visit: Visit) -> list[Share]:
    if visit.settlement is None:
        return []
    split = visit.settlement.split
    shares: Sequence[Share] = (
        Share("fund", split.fund_fen, Text(zh="医保统筹基金支付", en="Paid by the insurance fund")),
        Share("hospital", split.hospital_part_fen, Text(zh="医院承担", en="Borne by the hospital")),
        Share("account", split.account_fen, Text(zh="您的医保个人账户支付", en="Paid from your insurance account")),
        Share(
            "family_account", split.family_account_fen, Text(zh="家庭共济账户支付", en="Paid from a relative's account")
        ),
        Share("cash", split.cash_fen, Text(zh="个人现金支付", en="Left to you in cash")),
    )
    return [share for share in shares if share.amount_fen or share.who == "cash"]


def _bill(visit: Visit, now: datetime) -> BillShown | None:
    bill = visit.bill
    if bill is None:
        return None
    return BillShown(
        cash_fen=bill.cash_fen,
        covered_fen=bill.covered_fen,
        exception_fen=bill.exception_fen,
        counter_fen=bill.counter_fen,
        paid_fen=visit.paid_fen(),
        owed_fen=max(0, visit.owed_fen()),
        payable_now_fen=visit.payable_now_fen(now) if visit.stage() == "billed" else 0,
        issued_at=bill.issued_at,
        unpaid=[DueShown(part.amount_fen, part.due_at) for part in visit.unpaid()],
    )


def _transfers(visit: Visit) -> list[TransferShown]:
    paid = [
        TransferShown(one.id, "payment", one.means, one.amount_fen, one.asked_at, one.state, one.receipt)
        for one in visit.payments
    ]
    returned = [
        TransferShown(one.id, "refund", "original", one.amount_fen, one.asked_at, one.state, one.receipt)
        for one in visit.refunds
    ]
    return [*paid, *returned]
