"""Request and response bodies that pay-later services share."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from backend.city.id_number import RESIDENT_CARD, DocumentKind, TypedIdNumber
from backend.city.service import City
from backend.i18n import Text
from backend.paylater.bill import Billable, PaymentScope
from backend.paylater.family import FamilyConsent, Relation
from backend.rulebook import Verdict


class LimitFactor(Struct, frozen=True):
    """A rule that raised or lowered a limit, by how much, and what would raise it further."""

    rule: str
    amount_fen: int
    because: Text
    would_raise: Text | None


class RepairSelection(Struct, forbid_unknown_fields=True):
    """The ids of the differences whose repairs are accepted or approved."""

    differences: Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(min_length=1, max_length=500)]


class PaymentRequest(Struct, forbid_unknown_fields=True):
    """A payment of what is due `now` or of `all` that is owed; `amount_fen` is the amount that the caller saw."""

    amount_fen: Annotated[int, Meta(ge=1, le=10**13)]
    scope: PaymentScope = "now"


class InstalmentDetails(Struct, frozen=True):
    """An unpaid part of the bill and its due date."""

    amount_fen: int
    due_at: datetime


class BillDetails(Struct, frozen=True):
    """The one bill.

    `cash_fen` is the person's share: `covered_fen` within the limit, `exception_fen` over the limit and paid in
    instalments, and `counter_fen` paid to the provider. The provider has reported `counter_paid_fen` so far, and must
    give `counter_overpaid_fen` back. `unpaid` lists the amounts that are still due to the city, with dates.
    """

    cash_fen: int
    covered_fen: int
    exception_fen: int
    counter_fen: int
    counter_paid_fen: int
    counter_overpaid_fen: int
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


class FamilyPayerRequest(Struct, forbid_unknown_fields=True):
    """The family member whom the caller asks to pay: a spouse, child or parent with this identity document."""

    id_number: TypedIdNumber
    relation: Relation
    document_kind: DocumentKind = RESIDENT_CARD


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


def bill_details(billable: Billable, now: datetime) -> BillDetails | None:
    """Return the bill, with the amounts that are still due."""
    bill = billable.bill
    if bill is None:
        return None
    return BillDetails(
        cash_fen=bill.cash_fen,
        covered_fen=bill.covered_fen,
        exception_fen=bill.exception_fen,
        counter_fen=bill.counter_fen,
        counter_paid_fen=bill.paid_at_counter_fen,
        counter_overpaid_fen=bill.overpaid_at_counter_fen(),
        paid_fen=billable.paid_fen(),
        owed_fen=max(0, billable.owed_fen()),
        payable_now_fen=billable.payable_now_fen(now) if billable.stage() == "billed" else 0,
        issued_at=bill.issued_at,
        unpaid=[InstalmentDetails(part.amount_fen, part.due_at) for part in billable.unpaid()],
    )


def transfer_details(billable: Billable) -> list[TransferDetails]:
    """Return payments, then refunds."""
    payments = [
        TransferDetails(one.id, "payment", one.method, one.amount_fen, one.requested_at, one.state, one.receipt)
        for one in billable.payments
    ]
    refunds = [
        TransferDetails(one.id, "refund", "original", one.amount_fen, one.requested_at, one.state, one.receipt)
        for one in billable.refunds
    ]
    return [*payments, *refunds]


def family_consent_details(consent: FamilyConsent, role: Literal["patient", "payer"]) -> FamilyConsentDetails:
    """Return a consent in which the caller has this role."""
    return FamilyConsentDetails(consent.id, role, consent.relation, consent.requested_at, consent.agreed_at)


def limit_factors(city: City, verdict: Verdict) -> list[LimitFactor]:
    """Return what each rule that fired contributes to a limit."""
    module, now, today = city.rulebook.modules[verdict.module], city.now(), city.today()
    return [
        LimitFactor(rule.id, module.number_of(rule.then, today), rule.because, rule.remedy)
        for rule in city.rulebook.in_force(verdict.module, now)
        if rule.id in verdict.fired
    ]
