"""The facts by which a person's talent class and benefits are explained."""

from msgspec import Struct

from backend.benefits.terms import MAX_FEN
from backend.city.service import City, FactsOf
from backend.services.talent_code.facts import BenefitFacts, BenefitTerms, TalentFacts
from backend.services.talent_code.model.talent import Talent, benefit_facts, talent_facts
from backend.services.talent_code.rule_modules import CLASS_MODULE

__all__ = [
    "CLASS_MODULE",
    "explained_benefit_facts",
    "explained_class_facts",
    "present_facts",
]


def explained_class_facts(city: City, talent: Talent) -> TalentFacts:
    """Return the confirmed facts that decide a person's class now."""
    return talent_facts(talent, city.now(), city.rulebook.time_zone)


def explained_benefit_facts(city: City, talent: Talent, terms: BenefitTerms | None = None) -> BenefitFacts:
    """Return the facts that decide a benefit now.

    As in the list of benefits, the person owns no home, and spends as much as a benefit takes that depends on it.
    """
    return benefit_facts(talent, _stated(terms), city.now())


def _stated(terms: Struct | None) -> dict[str, int]:
    return {"spent_fen": MAX_FEN} if isinstance(terms, BenefitTerms) and terms.depends_on_spending else {}


async def _class_facts(city: City, person: str) -> TalentFacts | None:
    talent = await city.store.get(Talent, person)
    return talent and explained_class_facts(city, talent)


async def _benefit_facts(city: City, person: str) -> BenefitFacts | None:
    talent = await city.store.get(Talent, person)
    return talent and explained_benefit_facts(city, talent)


present_facts: dict[str, FactsOf] = {CLASS_MODULE: _class_facts, f"{BenefitTerms.module_prefix}*": _benefit_facts}
"""The facts of a person as of now, by rule module."""
