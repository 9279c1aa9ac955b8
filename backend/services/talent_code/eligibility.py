"""Talents in the store, with the terms of the rules and the latest figures of the registries."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.city.person import known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.codes.signed_code import make_code_id
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.model.grants import reschedule
from backend.services.talent_code.model.talent import Figures, Talent, TalentTerms
from backend.services.talent_code.registries import insured_months, tax_year
from backend.store.update import insert_or_get, update_document

_log = logging.getLogger("chengma.talent_code")


def talent_terms(city: City, at: datetime) -> TalentTerms:
    """Return what decides about talents at an instant, with the talent code's own terms."""
    return TalentTerms(city.rulebook, at)


async def get_or_create_talent(city: City, person: str) -> Talent:
    """Return the Talent of a person, and create it if there is none. `person` is the id of a Profile."""
    talent = await city.store.get(Talent, person)
    if talent is not None:
        return talent
    born_at = midnight((await known_person(city.store, person)).born_on, city.rulebook.time_zone)
    return await insert_or_get(city.store, Talent(id=person, code_id=make_code_id(), born_at=born_at))


async def update_talent(
    city: City, person: str, change: Callable[[Talent, datetime, TalentTerms], Talent], in_hand: Talent | None = None
) -> Talent:
    """Change a talent, which is stored if there is none; `change` returns the same object if nothing changes.

    A talent `in_hand` is read again only after a conflict. Raises Conflict after too many concurrent changes, and
    whatever `change` raises.
    """

    def changed(talent: Talent) -> Talent:
        now = city.now()
        terms = talent_terms(city, now)
        after = change(talent, now, terms)
        return talent if after is talent else reschedule(after, now, terms)

    talent = await update_document(city.store, lambda: get_or_create_talent(city, person), changed, in_hand)
    assert talent is not None, "a missing talent is created"
    return talent


async def with_current_figures(city: City, talent: Talent) -> Talent:
    """Return a talent with months of insurance and income that are not too old; the same object if they are not.

    While the social insurance or the tax bureau does not answer, the old figures stay valid.
    """
    now = city.now()
    max_age = timedelta(days=talent_terms(city, now)("facts_days"))
    known, last_year = talent.figures, city.today().year - 1
    if known is not None and now - known.at < max_age and known.year == last_year:
        return talent
    try:
        months, taxed = await asyncio.gather(insured_months(city, talent.id), tax_year(city, talent.id, last_year))
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("months of insurance and income were not updated: %s", error)
        return talent
    return replace(talent, figures=Figures(now, months, last_year, taxed.income_fen, taxed.tax_fen))
