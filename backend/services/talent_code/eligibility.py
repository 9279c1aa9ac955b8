"""Facts about a person that decide classes and benefits: terms of the rules, and answers of the registries."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

from msgspec.structs import replace

from backend.benefits.terms import MAX_FEN
from backend.city.person import birth_date, known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, with_timeout
from backend.codes.signed_code import make_code_id
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.facts import MAX_MONTHS, TalentTerm, TalentTermAsked
from backend.services.talent_code.model.grants import reschedule
from backend.services.talent_code.model.talent import Figures, Talent, TalentTerms
from backend.services.talent_code.ports import SocialInsurance, Tax, TaxYear
from backend.store.update import insert_or_get, update_document

TERMS_MODULE = "talent_code.terms"

_log = logging.getLogger("chengma.talent_code")


def talent_terms(city: City, at: datetime) -> TalentTerms:
    """Return the function that looks up the talent code's own terms at an instant."""

    def term(requested: TalentTerm) -> int:
        return cast("int", city.rulebook.evaluate(TERMS_MODULE, TalentTermAsked(requested), at).result)

    return term


async def id_number_of(city: City, person: str) -> str:
    """Return the text of a person's identity document, for queries to registries."""
    return city.encryption.decrypt((await known_person(city.store, person)).id_number)


async def get_or_create_talent(city: City, person: str) -> Talent:
    """Return the Talent of a person, and create it if there is none. `person` is the id of a Profile."""
    talent = await city.store.get(Talent, person)
    if talent is not None:
        return talent
    born_at = midnight(birth_date(await known_person(city.store, person)), city.rulebook.time_zone)
    return await insert_or_get(city.store, Talent(id=person, code_id=make_code_id(), born_at=born_at))


async def update_talent(
    city: City, person: str, change: Callable[[Talent, datetime], Talent], in_hand: Talent | None = None
) -> Talent:
    """Change a talent, which is stored if there is none; `change` returns the same object if nothing changes.

    A talent `in_hand` is read again only after a conflict. Raises Conflict after too many concurrent changes, and
    whatever `change` raises.
    """

    def changed(talent: Talent) -> Talent:
        now = city.now()
        after = change(talent, now)
        return talent if after is talent else reschedule(after, now, talent_terms(city, now)("review_days"))

    talent = await update_document(city.store, lambda: get_or_create_talent(city, person), changed, in_hand)
    assert talent is not None, "a missing talent is created"
    return talent


async def with_current_figures(city: City, talent: Talent) -> Talent:
    """Return a talent with months of insurance and income that are not too old; the same object if they are not.

    While the social insurance or the tax bureau does not answer, the old figures stay valid.
    """
    now = city.now()
    term = talent_terms(city, now)
    known, last_year = talent.figures, city.today().year - 1
    if known is not None and now - known.at < timedelta(days=term("facts_days")) and known.year == last_year:
        return talent
    try:
        figures = await _query_figures(city, await id_number_of(city, talent.id), last_year, now)
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("months of insurance and income were not updated: %s", error)
        return talent
    return replace(talent, figures=figures)


async def _query_figures(city: City, number: str, year: int, now: datetime) -> Figures:
    months, taxed = await asyncio.gather(insured_months(city, number), tax_year(city, number, year))
    return Figures(now, months, year, taxed.income_fen, taxed.tax_fen)


async def tax_year(city: City, id_number: str, year: int) -> TaxYear:
    """Query a person's income and income tax of a year. Raises UpstreamTimeout or UpstreamRejected."""
    taxed = await with_timeout(city.port(Tax).tax_year(id_number, year))
    if taxed.year != year or not all(0 <= fen <= MAX_FEN for fen in (taxed.income_fen, taxed.tax_fen)):
        raise UpstreamTimeout("the tax bureau answered for another year or with an impossible amount")
    return taxed


async def insured_months(city: City, id_number: str) -> int:
    """Query a person's months of insurance. Raises UpstreamTimeout or UpstreamRejected."""
    months = await with_timeout(city.port(SocialInsurance).insured_months(id_number))
    if not 0 <= months <= MAX_MONTHS:
        raise UpstreamTimeout("the social insurance answered with an impossible number")
    return months
