"""External dependencies: the medical insurance, a bank, the city's registries, and the inbox of hospital messages.

All amounts are in fen. The city creates all ids, and every call can be repeated with the same id: the answer is then
the same. A call that times out raises `UpstreamTimeout`, and it is unknown whether it took effect: call `reverse`
before anything else.

`id_number` is the text of an `IdentityDocument`: a resident ID number, or another document as `kind:number`.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from msgspec import Struct

from backend.city.service import City
from backend.paylater.ports import Bank
from backend.services.medical_credit.facts import CreditFacts, VisitKind

__all__ = [
    "Bank",
    "ClaimLine",
    "CreditRegistry",
    "Inbox",
    "Insurance",
    "InsuranceClaim",
    "InsuredVisit",
    "SettlementRecord",
    "Split",
]


class ClaimLine(Struct, frozen=True):
    """A fee line of a claim (2204), net of credits and adjustments; `id` is unique in the visit (feedetl_sn).

    `code` is the hospital's and `catalogue_code` the insurance's. Quantity and unit price are the hospital's, of any
    number of places; they are None if it did not send them.
    """

    id: str
    code: str
    amount_fen: int
    at: datetime
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    catalogue_code: str = ""
    department: str = ""
    doctor: str = ""


class InsuranceClaim(Struct, frozen=True):
    """A claim to the insurer for one visit of an insured person.

    `message_id` identifies this attempt (the omsgid by which 2601 reverses it) and `batch` its lines (chrg_bchno);
    `visit` identifies all attempts. `institution` is the hospital's code at the insurance (fixmedins_code).
    """

    message_id: str
    batch: str
    visit: str
    hospital: str
    institution: str
    id_number: str
    kind: VisitKind
    opened_at: datetime
    requested_at: datetime
    lines: tuple[ClaimLine, ...]

    def medfee_fen(self) -> int:
        """Return the medical fee: the total of the lines."""
        return sum(line.amount_fen for line in self.lines)


class InsuredVisit(Struct, frozen=True):
    """How the insurance knows a visit: the institution, the registration (mdtrt_id) and the person (psn_no)."""

    institution: str
    visit: str
    person: str
    inpatient: bool = False


class Split(Struct, frozen=True):
    """How the insurance split a claim (2207), to the fen.

    medfee = fund + hospital's share + person's share; person's share = own account + family account + cash. `insured`
    is how the insurance knows the visit; a sandbox needs none.
    """

    settlement_id: str
    medfee_fen: int
    fund_fen: int
    hospital_part_fen: int
    account_fen: int
    family_account_fen: int
    cash_fen: int
    insured: InsuredVisit | None = None

    def person_fen(self) -> int:
        """Return the person's share (psn_part_amt)."""
        return self.account_fen + self.family_account_fen + self.cash_fen

    def adds_up(self) -> bool:
        """Return whether the shares total the medical fee, and none is below zero."""
        shares = (self.fund_fen, self.hospital_part_fen, self.account_fen, self.family_account_fen, self.cash_fen)
        return min(self.medfee_fen, *shares) >= 0 and sum(shares) == self.medfee_fen


class SettlementRecord(Struct, frozen=True):
    """A settlement as the insurer (3202) or the hospital has it; `visit` is the id or the hospital's number."""

    settlement_id: str
    visit: str
    medfee_fen: int
    fund_fen: int
    account_fen: int
    cash_fen: int
    insured: InsuredVisit | None = None


@runtime_checkable
class Insurance(Protocol):
    """The part of the national medical insurance interface that a city needs."""

    async def settle(self, claim: InsuranceClaim) -> Split:
        """Register the visit, upload its lines and settle it (2201, 2204, 2207).

        Raises UpstreamTimeout or UpstreamRejected. A second claim for the visit under another message id is rejected
        until the settlement in force is cancelled.
        """
        ...

    async def cancel(self, settlement_id: str, message_id: str, insured: InsuredVisit | None) -> None:
        """Cancel a settlement (2208); it may already be cancelled. Raises UpstreamTimeout or UpstreamRejected."""
        ...

    async def reverse(self, claim: InsuranceClaim) -> None:
        """Reverse a `settle` whose answer was lost (2601). If it has not arrived yet, it is rejected when it does.

        Raises UpstreamTimeout.
        """
        ...

    async def settlements(self, hospital: str, institution: str, day: date) -> Sequence[SettlementRecord]:
        """Return a hospital's settlements of a day that are in force (3201, 3202). Raises UpstreamTimeout."""
        ...


@runtime_checkable
class CreditRegistry(Protocol):
    """The city's registries of credit, insurance and income."""

    async def facts(self, id_number: str, adult_at: datetime, senior_at: datetime) -> CreditFacts:
        """Return a person's credit facts. Raises UpstreamTimeout."""
        ...


@runtime_checkable
class Inbox(Protocol):
    """Stores the messages of hospitals and processes them again when they are due."""

    async def retry(self, city: City, message: str) -> str | None:
        """Process a waiting or interrupted message again. Returns its state, or None for an unknown message."""
        ...

    async def process_ignored(self, city: City, person: str) -> None:
        """Process the messages that were ignored because a person had not enrolled, for visits that are still open."""
        ...
