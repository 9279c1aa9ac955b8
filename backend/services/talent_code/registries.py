"""Queries to the registries about a person. An answer that cannot be true is treated like none.

All but `check_evidence` raise UpstreamTimeout or UpstreamRejected.
"""

import logging

from backend.benefits.terms import MAX_FEN
from backend.city.person import known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, with_timeout
from backend.services.talent_code.facts import MAX_MONTHS, Degree, Pay
from backend.services.talent_code.model.evidence import Evidence, Outcome
from backend.services.talent_code.ports import (
    Education,
    Employment,
    PropertyRegister,
    SocialInsurance,
    Tax,
    TaxYear,
)

_log = logging.getLogger("chengma.talent_code")


async def insured_months(city: City, person: str) -> int:
    """Query a person's months of insurance."""
    months = await with_timeout(city.port(SocialInsurance).insured_months(await _id_number(city, person)))
    return _plausible(months, MAX_MONTHS)


async def tax_year(city: City, person: str, year: int) -> TaxYear:
    """Query a person's income and income tax of a year."""
    taxed = await with_timeout(city.port(Tax).tax_year(await _id_number(city, person), year))
    if taxed.year != year:
        raise UpstreamTimeout("the tax bureau answered for another year")
    return TaxYear(year, _plausible(taxed.income_fen), _plausible(taxed.tax_fen))


async def invoiced_fen(city: City, person: str, benefit: str) -> int:
    """Query the amount that invoices prove for the purpose of a benefit."""
    return _plausible(await with_timeout(city.port(Tax).invoiced_fen(await _id_number(city, person), benefit)))


async def homes(city: City, person: str) -> int:
    """Query how many homes a person owns in the city."""
    return _plausible(await with_timeout(city.port(PropertyRegister).homes(await _id_number(city, person))))


async def check_evidence(city: City, person: str, evidence: Evidence) -> Outcome:
    """Query the responsible registry about a qualification.

    Returns `pending` if it does not answer in time, rejects the query, has not decided, or answers another query.
    """
    try:
        return await with_timeout(_confirm(city, person, evidence))
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("evidence was not checked: %s", error)
        return "pending"


async def _confirm(city: City, person: str, evidence: Evidence) -> Outcome:
    id_number = await _id_number(city, person)
    match evidence.qualification:
        case Pay(year, income_fen):
            taxed = await tax_year(city, person, year)
            return "confirmed" if taxed.income_fen >= income_fen else "refuted"
        case Degree() as degree:
            finding = await city.port(Education).confirm_degree(id_number, evidence.id, degree)
        case merit:
            finding = await city.port(Employment).confirm_merit(id_number, evidence.id, merit)
    if finding.about != evidence.id:
        raise UpstreamTimeout("the registry answered another query")
    return finding.outcome


async def _id_number(city: City, person: str) -> str:
    return city.encryption.read(await known_person(city.store, person), "id_number")


def _plausible(figure: int, most: int = MAX_FEN) -> int:
    if not 0 <= figure <= most:
        raise UpstreamTimeout("a registry answered with an impossible number")
    return figure
