"""External dependencies of the talent code: the registries that confirm declarations, and a bank that pays.

Every call may be repeated. A registry that does not answer in time raises `UpstreamTimeout` and is queried again
later. Answers name the query they belong to, because a registry may answer another one.
"""

from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from backend.city.upstream import BankAnswer, BankNotice
from backend.services.talent_code.facts import Degree, Post, Prize, Title


class Finding(Struct, frozen=True):
    """A registry's finding about declared evidence: `about` repeats its id. `pending`: it has not decided yet."""

    about: str
    outcome: Literal["confirmed", "refuted", "pending"]


class TaxYear(Struct, frozen=True):
    """A person's calendar year at the tax bureau: income in the city, and the income tax paid on it."""

    year: int
    income_fen: int
    tax_fen: int


@runtime_checkable
class Education(Protocol):
    """The registry of degrees."""

    async def confirm_degree(self, id_number: str, evidence: str, degree: Degree) -> Finding:
        """Check whether a person has this degree. Raises UpstreamTimeout or UpstreamRejected."""
        ...


@runtime_checkable
class Employment(Protocol):
    """The registry of titles, prizes and posts at the department of human resources."""

    async def confirm_merit(self, id_number: str, evidence: str, merit: Prize | Title | Post) -> Finding:
        """Check whether a person has this prize, title or post. Raises UpstreamTimeout or UpstreamRejected."""
        ...


@runtime_checkable
class SocialInsurance(Protocol):
    """The social insurance."""

    async def insured_months(self, id_number: str) -> int:
        """Return a person's months of insurance in the city. Raises UpstreamTimeout or UpstreamRejected."""
        ...


@runtime_checkable
class Tax(Protocol):
    """The tax bureau."""

    async def tax_year(self, id_number: str, year: int) -> TaxYear:
        """Return income and income tax of a year, 0 if there was none. Raises UpstreamTimeout or UpstreamRejected."""
        ...

    async def invoiced_fen(self, id_number: str, benefit: str) -> int:
        """Return the amount that invoices prove for the purpose of a benefit.

        Raises UpstreamTimeout or UpstreamRejected.
        """
        ...


@runtime_checkable
class PropertyRegister(Protocol):
    """The register of homes; only audits query it."""

    async def homes(self, id_number: str) -> int:
        """Return how many homes a person owns in the city. Raises UpstreamTimeout or UpstreamRejected."""
        ...


@runtime_checkable
class PayoutBank(Protocol):
    """Pays to people's bank accounts, and collects what was paid wrongly."""

    async def pay_out(self, payout_id: str, account: str, amount_fen: int) -> BankAnswer:
        """Pay to an account, once per payout id.

        Raises UpstreamTimeout, or UpstreamRejected if the id was used with other content.
        """
        ...

    async def collect(self, collection_id: str, account: str, amount_fen: int) -> BankAnswer:
        """Debit an account, once per collection id. Raises UpstreamTimeout or UpstreamRejected, as `pay_out` does."""
        ...

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Return the state of a payout or collection. Raises UpstreamTimeout."""
        ...

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Verify and read a notice of the bank. Raises ForgedNotice."""
        ...
