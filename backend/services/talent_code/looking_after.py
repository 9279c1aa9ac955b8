"""Looking after talents: asking registries about what people declared, and bringing classes up to now."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamTimeout
from backend.services.talent_code.advancing import advance, own_claims
from backend.services.talent_code.evidence import look_into
from backend.services.talent_code.model.notices import talent_notice
from backend.services.talent_code.model.talent import (
    Evidence,
    Talent,
    ask_again,
    awaits_review,
    found,
    not_found_yet,
    reconsider,
    rested,
)
from backend.services.talent_code.people import change_talent, fresh_figures, in_time, open_talent, terms_of, zone_of


async def look_after(city: City, person: str) -> Talent | None:
    """Do what is to be done for a talent now; give them as they stand then, or None for somebody who is none.

    Registries that do not answer are asked again later. A withdrawn class ends what their claims still had to come, at
    once, where the terms of these say so. Raises Conflict if others kept changing the same talent.
    """
    before = await city.store.get(Talent, person)
    if before is None:
        return None
    talent, now = before, city.now()
    if awaits_review(talent, now, terms_of(city, now)("review_days")):
        talent = await change_talent(city, person, ask_again)
    asked = [one for one in talent.evidence if one.is_asked() and one.ask_at <= now]
    if asked:
        await asyncio.gather(fresh_figures(city, talent), _look_into(city, person, asked))
    talent = await bring_up(city, person)
    if _newly_withdrawn(before, talent):
        await _bring_claims_on(city, person)
    await _tell(city, talent)
    return await change_talent(city, person, partial(_rest, city))


def _rest(city: City, talent: Talent, now: datetime) -> Talent:
    """Note that what was due was done, also where it changed nothing."""
    return rested(talent, now, terms_of(city, now)("review_days"))


async def learn(city: City, person: str) -> Talent:
    """Give a person as a talent by what the registries say now, as far as they answer, and the class that follows."""
    await fresh_figures(city, await open_talent(city, person))
    return await bring_up(city, person)


async def bring_up(city: City, person: str) -> Talent:
    """Bring a person's class up to now."""

    def change(talent: Talent, now: datetime) -> Talent:
        return reconsider(talent, city.rulebook, now, terms_of(city, now), zone_of(city))

    return await change_talent(city, person, change)


def _newly_withdrawn(before: Talent, talent: Talent) -> bool:
    return sum(grant.end == "withdrawn" for grant in talent.grants) > sum(
        grant.end == "withdrawn" for grant in before.grants
    )


async def _bring_claims_on(city: City, person: str) -> None:
    for claim in await own_claims(city, person):
        if claim.state != "draft":  # whether that is taken at all is for whoever makes it
            await advance(city, claim.id)


async def _look_into(city: City, person: str, asked: Sequence[Evidence]) -> None:
    """Ask the registries about pieces of evidence, all at once, and note what they say."""
    outcomes = await asyncio.gather(*(look_into(city, person, one) for one in asked))

    def note(talent: Talent, now: datetime) -> Talent:
        for one, outcome in zip(asked, outcomes, strict=True):
            if outcome == "pending":
                talent = not_found_yet(talent, one.id, now, terms_of(city, now)("registry_days"))
            else:
                talent = found(talent, one.id, confirmed=outcome == "confirmed", now=now)
        return talent

    await change_talent(city, person, note)


async def _tell(city: City, talent: Talent) -> None:
    """Hand over the notices, oldest first; one that was interrupted just then is told twice rather than never."""
    waiting = [notice for notice in talent.notices if not notice.told]
    for notice in waiting:
        try:
            await in_time(city.port(Notifications).notify(talent.id, talent_notice(notice)))
        except UpstreamTimeout:
            await change_talent(city, talent.id, lambda talent, _now: replace(talent, failures=talent.failures + 1))
            return

        def told(talent: Talent, _now: datetime, told_notice: object = notice) -> Talent:
            notices = tuple(replace(one, told=True) if one == told_notice else one for one in talent.notices)
            return replace(talent, notices=notices, failures=0)

        await change_talent(city, talent.id, told)
