"""Facts that a benefit's module declares itself: asked of the person, or gathered from profile and registers.

A new benefit so needs no program: `SOURCES` are what a module may name in `from`, besides the person.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from backend.benefits.offers import Offers
from backend.city.person import known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, UpstreamUnavailable
from backend.i18n import Text, yuan
from backend.problems import FieldError
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import INSTANT_RANGE
from backend.rulebook.modules.declared_facts import PERSON, DeclaredFact, declared_facts
from backend.services.talent_code.facts import FACT_SOURCES, BenefitFacts, BenefitTerms
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.registries import homes
from backend.web.json_body import invalid

Answers = Mapping[str, Any]
"""What a person answers to the questions of a benefit, by the name of the fact, as in JSON."""


async def _sex(city: City, person: str) -> str | None:
    return (await known_person(city.store, person)).sex


SOURCES: Mapping[str, Callable[[City, str], Awaitable[Any]]] = {
    "profile.sex": _sex,
    "property_register.homes": homes,
}
assert SOURCES.keys() == FACT_SOURCES.keys(), "rules may name the sources that are served"


def facts_of_benefit(offers: Offers[BenefitTerms], benefit: str) -> type[BenefitFacts]:
    """Return the Struct of facts that a benefit's module reads."""
    return cast("type[BenefitFacts]", offers.rulebook.modules[offers.module(benefit)].facts)


def asked_facts(struct: type[BenefitFacts]) -> list[DeclaredFact]:
    """Return the facts that a benefit asks of the person."""
    return [fact for fact in declared_facts(struct) if fact.source == PERSON]


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


def answered_values(struct: type[BenefitFacts], answers: Answers, zone: ZoneInfo) -> dict[str, Any]:
    """Return the values of a person's answers. Raises InvalidRequest, which names each one that is missing or wrong."""
    values, errors = dict[str, Any](), list[FieldError]()
    asked = {fact.name: fact for fact in asked_facts(struct)}
    for name in answers.keys() - asked.keys():
        errors.append(FieldError(f"/facts/{name}", "This benefit does not ask for it.", "该项政策不需要此项，请删去。"))
    for fact in asked.values():
        given = answers.get(fact.name)
        if given is None and (fact.optional or fact.type == "records"):
            continue
        try:
            values[fact.name] = _value(fact, given, zone)
        except ValueError:
            expected = expected_answer(fact)
            detail_zh = f"{fact.meaning.zh}：{expected.zh}"
            errors.append(FieldError(f"/facts/{fact.name}", f"{fact.meaning.en}: {expected.en}", detail_zh))
    if errors:
        raise invalid(errors)
    return values


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


# ── answers ──


def _value(fact: DeclaredFact, given: object, zone: ZoneInfo) -> object:
    """Return the value of an answer. Raises ValueError if it is not one that the fact can have."""
    match fact.type, given:
        case "bool", bool():
            return given
        case "number" | "money", int() if not isinstance(given, bool) and fact.low <= given <= fact.high:
            return given
        case "words", str() if given in fact.words:
            return given
        case "text", str() if 1 <= len(given) <= _MAX_TEXT:
            return given
        case "date", str():
            return _in_range(midnight(date.fromisoformat(given), zone))
        case "instant", str():
            return _in_range(msgspec.convert(given, datetime))
        case "records", list():
            return [_record(fact, one, zone) for one in cast("list[object]", given)[: _MAX_RECORDS + 1]]
        case _:
            raise ValueError(fact.name)


_MAX_TEXT, _MAX_RECORDS = 200, 100


def _in_range(instant: datetime) -> datetime:
    if instant.tzinfo is None or not INSTANT_RANGE[0] <= instant < INSTANT_RANGE[1]:
        raise ValueError(instant)
    return instant


def _record(fact: DeclaredFact, given: object, zone: ZoneInfo) -> dict[str, object]:
    if not isinstance(given, dict):
        raise ValueError(fact.name)  # noqa: TRY004  one error for whatever is no answer
    record = cast("dict[str, object]", given)
    fields = {one.name: one for one in fact.fields}
    if record.keys() - fields.keys():
        raise ValueError(fact.name)
    present = (one for one in fact.fields if not (one.optional and record.get(one.name) is None))
    return {one.name: _value(one, record.get(one.name), zone) for one in present}


def expected_answer(fact: DeclaredFact) -> Text:
    """Return what an answer to a question must be, in words."""
    match fact.type:
        case "bool":
            return Text(zh="请填写是（true）或否（false）", en="answer true or false")
        case "number":
            bounds = f"{fact.low} to {fact.high}"
            return Text(zh=f"须为{fact.low}至{fact.high}之间的整数", en=f"a whole number from {bounds}")
        case "money":
            return Text(zh=f"须为0至{yuan(fact.high)}元之间的金额，以分计", en=f"fen, from 0 to {fact.high}")
        case "words":
            return Text(zh=f"须为以下之一：{'、'.join(fact.words)}", en=f"one of {', '.join(fact.words)}")
        case "text":
            return Text(zh=f"须填写1至{_MAX_TEXT}个字", en=f"a text of 1 to {_MAX_TEXT} characters")
        case "date":
            return Text(zh="须为日期，如2026-11-24", en="a date such as 2026-11-24")
        case "instant":
            return Text(zh="须为日期和时间，如2026-11-24T08:00:00+08:00", en="such as 2026-11-24T08:00:00+08:00")
        case "records":
            names = "、".join(one.meaning.zh for one in fact.fields)
            return Text(zh=f"每项须填写{names}", en=f"a list, each with {', '.join(one.name for one in fact.fields)}")
