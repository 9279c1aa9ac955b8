"""Request and response bodies of pay later, and the functions that build them from documents."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from backend.city.service import City
from backend.i18n import Text
from backend.paylater.bill import Stage
from backend.paylater.details import BillDetails, LimitFactor, TransferDetails, bill_details, transfer_details
from backend.paylater.repairs import Resolution
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation, Totals
from backend.services.medical_credit.model.visit import LineKind, Purpose, Visit
from backend.services.medical_credit.rule_modules import Standing

# ── enrolment and limits ──


class Consent(Struct, forbid_unknown_fields=True):
    """The caller's explicit consent to this version of the agreement, and to automatic debit of bills that are due."""

    agreement: Annotated[str, Meta(max_length=20)]
    i_agree: bool
    automatic_debit: bool = False


class CreditLimit(Struct, frozen=True):
    """A credit limit: the amounts used, held for visits in progress, available, and over the limit as exceptions."""

    purpose: Purpose
    limit_fen: int
    used_fen: int
    held_fen: int
    available_fen: int
    over_limit_fen: int
    factors: list[LimitFactor]


class MedicalCredit(Struct, frozen=True):
    """The caller's enrolment in pay later: whether they may pay later now and why, and their limits."""

    standing: Standing
    because: Text
    remedy: Text | None
    changes_at: datetime | None
    limits: list[CreditLimit]
    agreement: str
    consented_at: datetime
    automatic_debit: bool
    rulebook: str


# ── visits and bills ──


class LineDetails(Struct, frozen=True):
    """A line of a visit; credits are below zero and name the charge they are `of`."""

    id: str
    kind: LineKind
    title: str
    amount_fen: int
    at: datetime
    of: str | None


class CostShare(Struct, frozen=True):
    """A share of the medical fee: the payer, the amount, and an explanation."""

    payer: Literal["fund", "hospital", "account", "family_account", "cash"]
    amount_fen: int
    because: Text


class VisitDetails(Struct, frozen=True):
    """A visit to a hospital as its patient sees it; `shares` explain the medical fee of a settled visit."""

    id: str
    hospital: str
    kind: VisitKind
    stage: Stage
    opened_at: datetime
    closed_at: datetime | None
    medical_fee_fen: int
    lines: list[LineDetails]
    shares: list[CostShare]
    bill: BillDetails | None
    transfers: list[TransferDetails]


class VisitSummary(Struct, frozen=True):
    """A visit in a list."""

    id: str
    hospital: str
    kind: VisitKind
    stage: Stage
    opened_at: datetime
    medical_fee_fen: int
    owed_fen: int


class VisitList(Struct, frozen=True):
    """Visits, newest first, and the cursor of the next page; None after the last page."""

    visits: list[VisitSummary]
    cursor: str | None


# ── reconciliation ──


class HospitalFile(Struct, forbid_unknown_fields=True):
    """A hospital's reconciliation file of a day, as CSV text."""

    file: Annotated[str, Meta(min_length=1, max_length=50_000_000)]


class DifferenceDetails(Struct, frozen=True):
    """A difference and its resolution."""

    difference: Difference
    resolution: Resolution


class ReconciliationDetails(Struct, frozen=True):
    """The reconciliation of a hospital's day; `omitted` counts differences that were too many to store."""

    hospital: str
    day: str
    created_at: datetime
    totals: Totals
    open_differences: int
    differences: list[DifferenceDetails]
    omitted: int


class ReconciliationSummary(Struct, frozen=True):
    """A reconciled day in a list."""

    day: str
    visits: int
    differences: int
    open_differences: int


class ReconciliationList(Struct, frozen=True):
    """A hospital's reconciled days, newest first, and the cursor of the next page; None after the last page."""

    days: list[ReconciliationSummary]
    cursor: str | None


# ── from documents to responses ──


async def visit_summaries(city: City, visits: Sequence[Visit]) -> list[VisitSummary]:
    """Return visits as they are shown in a list, with the names of their hospitals."""
    hospitals = await city.store.get_many(Hospital, sorted({visit.hospital for visit in visits}))
    return [
        VisitSummary(
            visit.id,
            _name(visit, hospitals.get(visit.hospital)),
            visit.kind,
            visit.stage(),
            visit.opened_at,
            visit.total_fen(),
            max(0, visit.owed_fen()),
        )
        for visit in visits
    ]


async def visit_details(city: City, visit: Visit) -> VisitDetails:
    """Return a visit with its lines, shares, bill and transfers."""
    hospital = await city.store.get(Hospital, visit.hospital)
    return VisitDetails(
        id=visit.id,
        hospital=_name(visit, hospital),
        kind=visit.kind,
        stage=visit.stage(),
        opened_at=visit.opened_at,
        closed_at=visit.closed_at,
        medical_fee_fen=visit.total_fen(),
        lines=[LineDetails(one.id, one.kind, one.title, one.amount_fen, one.at, one.of) for one in visit.lines],
        shares=_shares(visit),
        bill=bill_details(visit, city.now()),
        transfers=transfer_details(visit),
    )


def reconciliation_details(found: Reconciliation) -> ReconciliationDetails:
    """Return a reconciliation with its differences and their resolutions."""
    return ReconciliationDetails(
        found.hospital,
        found.day,
        found.created_at,
        found.totals,
        len(found.open_differences()),
        [DifferenceDetails(one, found.resolution(one.id)) for one in found.differences],
        found.omitted,
    )


def reconciliation_summary(found: Reconciliation) -> ReconciliationSummary:
    """Return a reconciliation as it is shown in a list."""
    return ReconciliationSummary(found.day, found.totals.visits, len(found.differences), len(found.open_differences()))


def _name(visit: Visit, hospital: Hospital | None) -> str:
    return hospital.name if hospital is not None else visit.hospital


def _shares(visit: Visit) -> list[CostShare]:
    if visit.settlement is None:
        return []
    split = visit.settlement.split
    shares: Sequence[CostShare] = (
        CostShare("fund", split.fund_fen, Text(zh="医保基金支付", en="Paid by the insurance fund")),
        CostShare("hospital", split.hospital_part_fen, Text(zh="医院负担", en="Hospital's share")),
        CostShare("account", split.account_fen, Text(zh="您的医保个人账户支付", en="Paid from your personal account")),
        CostShare(
            "family_account", split.family_account_fen, Text(zh="个人账户共济支付", en="Paid from a relative's account")
        ),
        CostShare("cash", split.cash_fen, Text(zh="您个人支付的部分", en="Your share")),
    )
    return [share for share in shares if share.amount_fen or share.payer == "cash"]
