"""What the rules and registries say of a person now, as the talent code needs it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.person import Person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.codes.signed_code import make_code_id
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.facts import MAX_FEN, MAX_MONTHS, TalentTermAsked, Term
from backend.services.talent_code.model.talent import Figures, Talent, Terms, rested
from backend.services.talent_code.ports import SocialInsurance, Tax, TaxYear
from backend.store import Duplicate
from backend.store.update import update_document

T = TypeVar("T")

TERMS = "talent_code.terms"

ANSWERS_WITHIN_SECONDS = 3.0
"""Whoever outside has not answered by then is taken for silent: a citizen waits for the answer."""

_log = logging.getLogger("chengma.talent_code")


def terms_of(city: City, at: datetime) -> Terms:
    """Give the talent code's own figures as the rules have them at an instant."""

    def term(asked: Term) -> int:
        return cast("int", city.rulebook.evaluate(TERMS, TalentTermAsked(asked), at).result)

    return term


def zone_of(city: City) -> ZoneInfo:
    """Give the city's time zone."""
    return ZoneInfo(city.settings.time_zone)


async def in_time(answer: Awaitable[T]) -> T:
    """Wait for an answer from outside, but not for long. Raises Silent."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_SECONDS):
            return await answer
    except TimeoutError as error:
        raise UpstreamTimeout("no answer came in time") from error


async def profile_of(city: City, person: str) -> Person:
    """Give a known person's Profile."""
    profile = await city.store.get(Person, person)
    assert profile is not None, "a talent is a known person"
    return profile


async def id_number_of(city: City, person: str) -> str:
    """Give the ID number of a person, to ask registries about them."""
    return city.encryption.decrypt((await profile_of(city, person)).id_number)


async def open_talent(city: City, person: str) -> Talent:
    """Give a person as a talent; they are noted as one where they are none yet. `person` is the id of a Profile."""
    talent = await city.store.get(Talent, person)
    if talent is not None:
        return talent
    profile = await profile_of(city, person)
    begun = Talent(id=person, code_id=make_code_id(), born_at=midnight(profile.born_on, zone_of(city)))
    try:
        return await city.store.insert(begun)
    except Duplicate:
        return await open_talent(city, person)


async def change_talent(city: City, person: str, change: Callable[[Talent, datetime], Talent]) -> Talent:
    """Change a talent as it stands now; `change` gives back the same object where there is nothing to change.

    Raises Conflict if others kept changing it, and whatever `change` raises.
    """

    def changed(talent: Talent) -> Talent:
        now = city.now()
        after = change(talent, now)
        return talent if after is talent else rested(after, now, terms_of(city, now)("review_days"))

    talent = await update_document(city.store, lambda: open_talent(city, person), changed)
    assert talent is not None, "whoever is none yet is noted as one"
    return talent


async def fresh_figures(city: City, talent: Talent) -> Talent:
    """Give a talent whose months of insurance and income are not too old.

    While social insurance or tax bureau do not answer the old figures count, if there are any.
    """
    now = city.now()
    term = terms_of(city, now)
    known, last_year = talent.figures, city.today().year - 1
    if known is not None and now - known.at < timedelta(days=term("facts_days")) and known.year == last_year:
        return talent
    number = await id_number_of(city, talent.id)
    try:
        figures = await _ask_figures(city, number, last_year, now)
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("the figures of a talent stay as they are: %s", error)
        return talent
    return await change_talent(city, talent.id, lambda talent, _now: replace(talent, figures=figures))


async def _ask_figures(city: City, number: str, year: int, now: datetime) -> Figures:
    months, taxed = await asyncio.gather(_insured_months(city, number), tax_year(city, number, year))
    return Figures(now, months, year, taxed.income_fen, taxed.tax_fen)


async def tax_year(city: City, id_number: str, year: int) -> TaxYear:
    """Ask for a person's income and income tax of a year. Raises Silent or Refused."""
    taxed = await in_time(city.port(Tax).tax_year(id_number, year))
    if taxed.year != year or not all(0 <= fen <= MAX_FEN for fen in (taxed.income_fen, taxed.tax_fen)):
        raise UpstreamTimeout("the tax bureau told of another year, or answered what cannot be")
    return taxed


async def insured_months(city: City, person: str) -> int:
    """Ask for how many months a person has been insured. Raises Silent or Refused."""
    return await _insured_months(city, await id_number_of(city, person))


async def _insured_months(city: City, id_number: str) -> int:
    months = await in_time(city.port(SocialInsurance).insured_months(id_number))
    if not 0 <= months <= MAX_MONTHS:
        raise UpstreamTimeout("the social insurance answered what cannot be")
    return months
