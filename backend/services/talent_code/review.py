"""Talents in the store and their reviews: registries are queried about qualifications, and classes are updated."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from backend.city.bank_cards import release_card
from backend.city.notices import notify
from backend.city.person import birth_date, known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.codes.signed_code import make_code_id
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.grants import needs_recheck, reassess, reschedule
from backend.services.talent_code.model.notifications import talent_message
from backend.services.talent_code.model.talent import Figures, Talent, TalentTerms, record_answers
from backend.services.talent_code.registries import check_evidence, insured_months, tax_year
from backend.store.update import insert_or_get, update_document

ReviewStep = Literal["request_recheck", "check_evidence", "reassess", "stop_claims", "release_cards", "notify"]

CARD_USER = "talent_code"
"""The name by which this service keeps bank cards."""

_log = logging.getLogger("chengma.talent_code")


async def get_or_create_talent(city: City, person: str) -> Talent:
    """Return the Talent of a person, and create it if there is none. `person` is the id of a Profile."""
    talent = await city.store.get(Talent, person)
    if talent is not None:
        return talent
    born_at = midnight(birth_date(await known_person(city.store, person)), city.rulebook.time_zone)
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
        terms = TalentTerms(city.rulebook, now)
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
    max_age = timedelta(days=TalentTerms(city.rulebook, now)("facts_days"))
    known, last_year = talent.figures, city.today().year - 1
    if known is not None and now - known.at < max_age and known.year == last_year:
        return talent
    try:
        months, taxed = await asyncio.gather(insured_months(city, talent.id), tax_year(city, talent.id, last_year))
    except (UpstreamTimeout, UpstreamRejected) as error:
        _log.warning("months of insurance and income were not updated: %s", error)
        return talent
    return replace(talent, figures=Figures(now, months, last_year, taxed.income_fen, taxed.tax_fen))


async def refresh_talent(city: City, person: str) -> Talent:
    """Refresh a talent's figures, as far as registries answer, and their class; return the talent."""
    talent = await get_or_create_talent(city, person)
    current = await with_current_figures(city, talent)

    def change(found: Talent, now: datetime, terms: TalentTerms) -> Talent:
        known = found if current is talent else replace(found, figures=current.figures)
        return reassess(known, now, terms)

    return await update_talent(city, person, change, in_hand=talent)


# ── steps of a review ──


def next_review_step(talent: Talent, now: datetime, terms: TalentTerms) -> ReviewStep | None:
    """Return the step that is due for a talent, or None."""
    if needs_recheck(talent, now, terms):
        return "request_recheck"
    if _due_evidence(talent, now):
        return "check_evidence"
    if reassess(talent, now, terms) is not talent:
        return "reassess"
    if talent.withdrawn_at is not None:
        return "stop_claims"
    if talent.former_cards:
        return "release_cards"
    return "notify" if any(not one.sent for one in talent.notifications) else None


def _due_evidence(talent: Talent, now: datetime) -> list[Evidence]:
    return [one for one in talent.evidence if one.needs_check() and one.check_at <= now]


async def check_due_evidence(city: City, talent: Talent, now: datetime) -> Talent:
    """Query the registries about all due evidence at once, and record their answers."""
    due = _due_evidence(talent, now)
    findings = asyncio.gather(*(check_evidence(city, talent.id, one) for one in due))
    talent, outcomes = await asyncio.gather(with_current_figures(city, talent), findings)
    days = TalentTerms(city.rulebook, now)("registry_days")
    answered = [one.after(outcome, now, days) for one, outcome in zip(due, outcomes, strict=True)]
    return record_answers(talent, answered, now)


async def release_former_cards(city: City, talent: Talent, _now: datetime) -> Talent:
    """Let others name the cards that a talent has replaced."""
    for card in talent.former_cards:
        if card != talent.card:
            await release_card(city, card, talent.id, CARD_USER)
    return replace(talent, former_cards=(), failures=0)


async def notify_talent(city: City, talent: Talent, now: datetime) -> Talent:
    """Send the oldest notification, once, however often the step is repeated."""
    notification = next(one for one in talent.notifications if not one.sent)
    terms = TalentTerms(city.rulebook, now)
    text = talent_message(notification, talent, terms("registry_days"), terms.rulebook.time_zone)
    about = notification.evidence or notification.talent_class
    event = f"{Talent.collection}/{talent.id}/{notification.kind}/{notification.at.isoformat()}/{about}"
    await notify(city, talent.id, event, text)
    notifications = tuple(replace(one, sent=True) if one is notification else one for one in talent.notifications)
    return replace(talent, notifications=notifications, failures=0)
