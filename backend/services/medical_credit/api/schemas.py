"""Request and response bodies of pay later, and the functions that build them from documents."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from backend.city.service import City
from backend.i18n import Text
from backend.paylater.bill import PaymentScope, Stage
from backend.paylater.family import Relation
from backend.paylater.repairs import Resolution
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.enrolment import Standing
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation, Totals
from backend.services.medical_credit.model.visit import LineKind, Purpose, Visit

# ── enrolment and limits ──


class Consent(Struct, forbid_unknown_fields=True):
    """The caller's explicit consent to this version of the agreement, and to automatic debit of bills that are due."""

    agreement: Annotated[str, Meta(max_length=20)]
    i_agree: bool
    automatic_debit: bool = False


class LimitFactor(Struct, frozen=True):
    """A rule that raised or lowered a limit, by how much, and what would raise it further."""

    rule: str
    amount_fen: int
    because: Text
    would_raise: Text | None


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


class InstalmentDetails(Struct, frozen=True):
    """An unpaid part of the bill and its due date."""

    amount_fen: int
    due_at: datetime


class BillDetails(Struct, frozen=True):
    """The one bill of a visit.

    `cash_fen` is the person's share: `covered_fen` within the limit, `exception_fen` over the limit and paid in
    instalments, and `counter_fen` paid at the hospital. `unpaid` lists the amounts that are still due, with dates.
    """

    cash_fen: int
    covered_fen: int
    exception_fen: int
    counter_fen: int
    paid_fen: int
    owed_fen: int
    payable_now_fen: int
    issued_at: datetime
    unpaid: list[InstalmentDetails]


class TransferDetails(Struct, frozen=True):
    """A payment or a refund, and its state."""

    id: str
    kind: Literal["payment", "refund"]
    method: Literal["citizen", "family", "automatic", "original"]
    amount_fen: int
    at: datetime
    state: Literal["requested", "paid", "failed", "done"]
    receipt: str | None


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


class PaymentRequest(Struct, forbid_unknown_fields=True):
    """A payment of what is due `now` or of `all` that is owed; `amount_fen` is the amount that the caller saw."""

    amount_fen: Annotated[int, Meta(ge=1, le=10**13)]
    scope: PaymentScope = "now"


# ── family payers ──


class FamilyPayerRequest(Struct, forbid_unknown_fields=True):
    """The family member whom the caller asks to pay: a spouse, child or parent with this resident ID number."""

    id_number: Annotated[str, Meta(min_length=15, max_length=20)]
    relation: Relation


class FamilyConsentDetails(Struct, frozen=True):
    """A consent in which the caller is the patient or the payer."""

    id: str
    role: Literal["patient", "payer"]
    relation: Relation
    requested_at: datetime
    agreed_at: datetime | None


class FamilyConsents(Struct, frozen=True):
    """The family payers of the caller, and the patients for whom the caller pays or is asked to pay."""

    consents: list[FamilyConsentDetails]


# ── reconciliation ──


class HospitalFile(Struct, forbid_unknown_fields=True):
    """A hospital's reconciliation file of a day, as CSV text."""

    file: Annotated[str, Meta(min_length=1, max_length=50_000_000)]


class RepairSelection(Struct, forbid_unknown_fields=True):
    """The ids of the differences whose repairs are accepted or approved."""

    differences: Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(min_length=1, max_length=500)]


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


def visit_details(visit: Visit, hospital: Hospital | None, now: datetime) -> VisitDetails:
    """Return a visit with its lines, shares, bill and transfers."""
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
        bill=_bill(visit, now),
        transfers=_transfers(visit),
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
            "family_account",
            split.family_account_fen,
            Text(zh="个人账户共济支付", en="Paid from a relative's account"),
        ),
        CostShare("cash", split.cash_fen, Text(zh="您个人支付的部分", en="Your share")),
    )
    return [share for share in shares if share.amount_fen or share.payer == "cash"]


def _bill(visit: Visit, now: datetime) -> BillDetails | None:
    bill = visit.bill
    if bill is None:
        return None
    return BillDetails(
        cash_fen=bill.cash_fen,
        covered_fen=bill.covered_fen,
        exception_fen=bill.exception_fen,
        counter_fen=bill.counter_fen,
        paid_fen=visit.paid_fen(),
        owed_fen=max(0, visit.owed_fen()),
        payable_now_fen=visit.payable_now_fen(now) if visit.stage() == "billed" else 0,
        issued_at=bill.issued_at,
        unpaid=[InstalmentDetails(part.amount_fen, part.due_at) for part in visit.unpaid()],
    )


def _transfers(visit: Visit) -> list[TransferDetails]:
    payments = [
        TransferDetails(one.id, "payment", one.method, one.amount_fen, one.requested_at, one.state, one.receipt)
        for one in visit.payments
    ]
    refunds = [
        TransferDetails(one.id, "refund", "original", one.amount_fen, one.requested_at, one.state, one.receipt)
        for one in visit.refunds
    ]
    return [*payments, *refunds]
