"""Asking the registries about what a person declared."""

import hashlib
import logging
from typing import Literal

import msgspec

from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.talent_code.facts import Degree, Pay
from backend.services.talent_code.model.talent import Evidence, Said
from backend.services.talent_code.people import id_number_of, in_time, tax_year
from backend.services.talent_code.ports import Education, Employment, Finding

_log = logging.getLogger("chengma.talent_code")


def evidence_id(person: str, said: Said) -> str:
    """Name a piece of evidence: the same person's same words always have the same name."""
    return hashlib.sha256(person.encode() + b"\n" + msgspec.json.encode(said)).hexdigest()[:20]


async def look_into(city: City, person: str, evidence: Evidence) -> Literal["confirmed", "refuted", "pending"]:
    """Ask the registry that knows whether it is so.

    `pending` where it does not answer in time, will not say, is still looking, or answers another question.
    """
    try:
        finding = await in_time(_ask(city, await id_number_of(city, person), evidence))
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("evidence of a talent stays as it is: %s", error)
        return "pending"
    if finding.about != evidence.id:
        _log.warning("evidence of a talent stays as it is: the registry answered another question")
        return "pending"
    return finding.outcome


async def _ask(city: City, id_number: str, evidence: Evidence) -> Finding:
    match evidence.said:
        case Degree() as degree:
            return await city.port(Education).confirm_degree(id_number, evidence.id, degree)
        case Pay(year, income_fen):
            taxed = await tax_year(city, id_number, year)
            return Finding(evidence.id, "confirmed" if taxed.income_fen >= income_fen else "refuted")
        case merit:
            return await city.port(Employment).confirm_merit(id_number, evidence.id, merit)
