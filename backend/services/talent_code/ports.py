"""External dependencies of the talent code: the registries that confirm declarations, and the bank of the engine.

Every call may be repeated. A registry that does not answer in time raises UpstreamTimeout and is queried again later;
one that rejects a query raises UpstreamRejected. Answers name the query they belong to, because a registry may answer
another one.

`id_number` is the text of an `IdentityDocument`: a resident ID number, or another document as `kind:number`.
"""

from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from backend.benefits.ports import PayoutBank
from backend.services.talent_code.facts import Degree, Post, Prize, Title

__all__ = ["Education", "Employment", "PayoutBank", "PropertyRegister", "SocialInsurance", "Tax"]


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
        """Check whether a person has this degree."""
        ...


@runtime_checkable
class Employment(Protocol):
    """The registry of titles, prizes and posts at the department of human resources."""

    async def confirm_merit(self, id_number: str, evidence: str, merit: Prize | Title | Post) -> Finding:
        """Check whether a person has this prize, title or post."""
        ...


@runtime_checkable
class SocialInsurance(Protocol):
    """The social insurance."""

    async def insured_months(self, id_number: str) -> int:
        """Return a person's months of insurance in the city."""
        ...


@runtime_checkable
class Tax(Protocol):
    """The tax bureau."""

    async def tax_year(self, id_number: str, year: int) -> TaxYear:
        """Return income and income tax of a year, 0 if there was none."""
        ...

    async def invoiced_fen(self, id_number: str, benefit: str) -> int:
        """Return the amount that invoices prove for the purpose of a benefit."""
        ...


@runtime_checkable
class PropertyRegister(Protocol):
    """The register of homes; only audits query it."""

    async def homes(self, id_number: str) -> int:
        """Return how many homes a person owns in the city."""
        ...
