"""What the talent code needs from outside: the registries that confirm what people declare, and a bank that pays.

Every call may be made again. A registry that does not answer in time raises `UpstreamTimeout`, and is asked again
later. Answers name what they are about, because a registry may answer another question than the one it was asked.
"""

from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from backend.city.upstream import BankAnswer, BankNotice
from backend.services.talent_code.facts import Degree, Post, Prize, Title


class Finding(Struct, frozen=True):
    """What a registry says of a piece of evidence: `about` repeats its id. `pending`: it is still looked into."""

    about: str
    outcome: Literal["confirmed", "refuted", "pending"]


class TaxYear(Struct, frozen=True):
    """What the tax bureau knows of a person's calendar year: income in the city, and the income tax paid on it."""

    year: int
    income_fen: int
    tax_fen: int


@runtime_checkable
class Education(Protocol):
    """The registry of degrees."""

    async def confirm_degree(self, id_number: str, evidence: str, degree: Degree) -> Finding:
        """Tell whether a person has this degree. Raises Silent, or Refused where it will not say."""
        ...


@runtime_checkable
class Employment(Protocol):
    """The registry of titles, prizes and posts, kept by the department of human resources."""

    async def confirm_merit(self, id_number: str, evidence: str, merit: Prize | Title | Post) -> Finding:
        """Tell whether a person has this prize, title or post. Raises Silent or Refused."""
        ...


@runtime_checkable
class SocialInsurance(Protocol):
    """The social insurance."""

    async def insured_months(self, id_number: str) -> int:
        """Tell for how many months a person has been insured in the city. Raises Silent or Refused."""
        ...


@runtime_checkable
class Tax(Protocol):
    """The tax bureau."""

    async def tax_year(self, id_number: str, year: int) -> TaxYear:
        """Tell income and income tax of a year, zero where there was none. Raises Silent or Refused."""
        ...

    async def invoiced_fen(self, id_number: str, benefit: str) -> int:
        """Tell what invoices prove that a person spent on what a benefit is for. Raises Silent or Refused."""
        ...


@runtime_checkable
class PropertyRegister(Protocol):
    """The register of homes; only audits look into it."""

    async def homes(self, id_number: str) -> int:
        """Tell how many homes a person owns in the city. Raises Silent or Refused."""
        ...


@runtime_checkable
class PayoutBank(Protocol):
    """Pays money out to people's bank accounts, and takes back what was paid wrongly."""

    async def pay_out(self, payout_id: str, account: str, amount_fen: int) -> BankAnswer:
        """Pay to an account once for this payout id. Raises Silent, or Refused for the same id with something else."""
        ...

    async def collect(self, collection_id: str, account: str, amount_fen: int) -> BankAnswer:
        """Debit an account once for this collection id. Raises Silent, or Refused likewise."""
        ...

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Tell what became of a payout or collection. Raises Silent."""
        ...

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Check and read a notice of the bank. Raises ForgedNotice."""
        ...
