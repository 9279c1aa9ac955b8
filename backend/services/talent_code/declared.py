"""Facts that a benefit's module declares itself: asked of the person, or gathered from profile and registers.

A new benefit so needs no program: `SOURCES` are what a module may name in `from`, besides the person.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from backend.benefits.answers import Answers, answered_values
from backend.benefits.offers import Offers
from backend.city.person import Person, known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, UpstreamUnavailable
from backend.rulebook.modules.declared_facts import PERSON, DeclaredFact, declared_facts
from backend.services.talent_code.facts import FACT_SOURCES, BenefitFacts, BenefitTerms
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.registries import homes

PROFILE_FIELDS: Mapping[str, Callable[[Person], Any]] = {"profile.sex": lambda person: person.sex}
"""The sources that are fields of a person's profile."""


def facts_on_profile(person: Person, fact: DeclaredFact) -> Any:  # noqa: ANN401  the value of any fact
    """Return a fact that is taken from the profile; None if it lacks it, or has none that the module knows."""
    value = PROFILE_FIELDS[fact.source](person)
    return value if _is_possible(fact, value) else None


async def _sex(city: City, person: str) -> str | None:
    return PROFILE_FIELDS["profile.sex"](await known_person(city.store, person))


SOURCES: Mapping[str, Callable[[City, str], Awaitable[Any]]] = {
    "profile.sex": _sex,
    "property_register.homes": homes,
}
assert SOURCES.keys() == FACT_SOURCES.keys(), "rules may name the sources that are served"


def facts_of_benefit(offers: Offers[BenefitTerms], benefit: str) -> type[BenefitFacts]:
    """Return the Struct of facts that a benefit's module reads."""
    return cast("type[BenefitFacts]", offers.rulebook.modules[offers.module(benefit)].facts)


async def complete_facts(
    city: City, person: str, facts: BenefitFacts, struct: type[BenefitFacts], answers: Answers
) -> BenefitFacts:
    """Return the facts that a benefit reads: those that the city knows, with the person's answers.

    Raises InvalidRequest, which names each answer that is missing or wrong, or UpstreamUnavailable if a register does
    not answer.
    """
    values = answered_values(struct, answers, city.rulebook.time_zone)
    for fact in declared_facts(struct):
        if fact.source != PERSON:
            values[fact.name] = await _gathered(city, person, fact)
    return convert_facts(facts, struct, values)


def convert_facts(facts: BenefitFacts, struct: type[BenefitFacts], values: Mapping[str, Any]) -> BenefitFacts:
    """Return facts with the values of those that a module declares. Raises msgspec.ValidationError."""
    known = {name: getattr(facts, name) for name in BenefitFacts.__struct_fields__}
    return msgspec.convert({**known, **values}, struct)


def facts_of_claim(offers: Offers[BenefitTerms], claim: Claim) -> BenefitFacts | None:
    """Return the facts that decided a claim; None if the benefit is gone, or asks other questions now."""
    try:
        return convert_facts(claim.facts, facts_of_benefit(offers, claim.benefit), claim.declared)
    except (KeyError, msgspec.ValidationError):
        return None


def declared_values(facts: BenefitFacts) -> dict[str, Any]:
    """Return the values of the facts that a module declares, as they are stored with a claim."""
    names = [fact.name for fact in declared_facts(type(facts))]
    return msgspec.to_builtins({name: getattr(facts, name) for name in names})


async def _gathered(city: City, person: str, fact: DeclaredFact) -> object:
    try:
        value = await SOURCES[fact.source](city, person)
    except (UpstreamTimeout, UpstreamRejected):
        raise UpstreamUnavailable(
            zh="有关登记系统暂未响应，请稍后再试。", en="A register does not answer; please try again later."
        ) from None
    if fact.optional and not _is_possible(fact, value):
        return None
    return value


def _is_possible(fact: DeclaredFact, value: Any) -> bool:  # noqa: ANN401  whatever a register answers
    if fact.type == "words":
        return value in fact.words
    return fact.low <= value <= fact.high if fact.type == "number" and value is not None else value is not None
