"""What medical credit needs from outside: the medical insurance, a bank, the city's registries, and notices to people.

All amounts are in fen, all ids are made by us, and every call may be made again with the same id: it is then answered
as it was before. A call that is not answered in time raises `UpstreamTimeout`, and nobody knows whether it took
effect: ask with `reverse` or `look_up` before anything else.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from backend.city.service import City
from backend.city.upstream import BankAnswer, BankNotice
from backend.services.medical_credit.facts import CreditFacts, VisitKind


class ClaimLine(Struct, frozen=True):
    """A fee line of a claim (2204): `id` is unique in the visit (feedetl_sn), credited lines are already netted."""

    id: str
    code: str
    amount_fen: int


class Claim(Struct, frozen=True):
    """What the insurance is asked to settle: a whole visit of an insured person.

    `message_id` names this one attempt (the omsgid by which 2601 reverses it), `visit` all attempts of the visit.
    """

    message_id: str
    visit: str
    hospital: str
    id_number: str
    kind: VisitKind
    lines: tuple[ClaimLine, ...]


class Split(Struct, frozen=True):
    """How the insurance split a claim (2207), to the fen.

    medfee = fund + person's part + hospital's part, and person's part = own account + family's account + cash.
    """

    settlement_id: str
    medfee_fen: int
    fund_fen: int
    hospital_part_fen: int
    account_fen: int
    family_account_fen: int
    cash_fen: int


class SettledThere(Struct, frozen=True):
    """A settlement as the insurance's own books hold it (3202); cancelled ones are left out."""

    settlement_id: str
    visit: str
    medfee_fen: int
    fund_fen: int
    account_fen: int
    cash_fen: int


@runtime_checkable
class Insurance(Protocol):
    """The national medical insurance's interface, as far as a city needs it."""

    async def insured(self, id_number: str) -> bool:
        """Tell whether a person is insured (1101). Raises Silent."""
        ...

    async def settle(self, claim: Claim) -> Split:
        """Register the visit, upload its lines and settle it (2201, 2204, 2207). Raises Silent or Refused.

        A visit with a settlement in force is Refused under another message id, until that settlement is cancelled.
        """
        ...

    async def cancel(self, settlement_id: str, message_id: str) -> None:
        """Cancel a settlement (2208); one that is cancelled already stays so. Raises Silent or Refused."""
        ...

    async def reverse(self, message_id: str) -> None:
        """Undo whatever came of a `settle` whose answer was lost (2601); if nothing came of it, see that nothing does.

        Raises Silent.
        """
        ...

    async def settled(self, hospital: str, day: date) -> Sequence[SettledThere]:
        """Give the settlements of a hospital that were made on a day and still stand (3201, 3202). Raises Silent."""
        ...


class BankEntry(Struct, frozen=True):
    """A line of the bank's own statement: what was paid to us (`payment`) or returned by us (`refund`)."""

    id: str
    kind: Literal["payment", "refund"]
    amount_fen: int
    at: datetime
    receipt: str


@runtime_checkable
class Bank(Protocol):
    """Takes payments from people's bound cards, and returns them to where they came from."""

    async def pay(self, payment_id: str, payer: str, amount_fen: int) -> BankAnswer:
        """Debit `payer` (the id of a Profile) once for this payment id. Raises Silent."""
        ...

    async def refund(self, refund_id: str, payment_id: str, amount_fen: int) -> BankAnswer:
        """Return a part of a payment to where it came from, once for this refund id. Raises Silent."""
        ...

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Tell what became of a payment or refund. Raises Silent."""
        ...

    async def statement(self, day: date) -> Sequence[BankEntry]:
        """Give what was done on a day. Raises Silent."""
        ...

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Check and read a notice of the bank. Raises ForgedNotice."""
        ...


@runtime_checkable
class CreditRegistry(Protocol):
    """The city's registries of credit, insurance and income."""

    async def facts(self, id_number: str, adult_at: datetime, senior_at: datetime) -> CreditFacts:
        """Give what is known of a person's credit. Raises Silent."""
        ...


@runtime_checkable
class Inbox(Protocol):
    """Where hospitals' messages come in, and are tried again."""

    async def retry(self, city: City, message: str) -> str | None:
        """Try a message again that waited or was cut off; gives its state then, or None for an unknown one."""
        ...
