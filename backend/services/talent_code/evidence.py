"""Checks of declared qualifications with the responsible registries."""

import logging
from typing import Literal

from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, with_timeout
from backend.services.talent_code.eligibility import id_number_of, tax_year
from backend.services.talent_code.facts import Degree, Pay
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.ports import Education, Employment, Finding

_log = logging.getLogger("chengma.talent_code")


async def check_evidence(city: City, person: str, evidence: Evidence) -> Literal["confirmed", "refuted", "pending"]:
    """Query the responsible registry about a qualification.

    Returns `pending` if it does not answer in time, rejects the query, has not decided, or answers another query.
    """
    try:
        finding = await with_timeout(_query(city, await id_number_of(city, person), evidence))
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("evidence was not checked: %s", error)
        return "pending"
    if finding.about != evidence.id:
        _log.warning("evidence was not checked: the registry answered another query")
        return "pending"
    return finding.outcome


async def _query(city: City, id_number: str, evidence: Evidence) -> Finding:
    match evidence.qualification:
        case Degree() as degree:
            return await city.port(Education).confirm_degree(id_number, evidence.id, degree)
        case Pay(year, income_fen):
            taxed = await tax_year(city, id_number, year)
            return Finding(evidence.id, "confirmed" if taxed.income_fen >= income_fen else "refuted")
        case merit:
            return await city.port(Employment).confirm_merit(id_number, evidence.id, merit)
