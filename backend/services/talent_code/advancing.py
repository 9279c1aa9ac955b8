"""Doing what is next for a claim, one step after the other, until nothing is to be done or somebody does not answer."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import BankAnswer, Notifications, UpstreamRejected, UpstreamTimeout
from backend.services.talent_code.auditing import audit
from backend.services.talent_code.budgets import current_budget, enter
from backend.services.talent_code.model.benefit import barrier, terms_in
from backend.services.talent_code.model.budget import NoBudget, Overtaken
from backend.services.talent_code.model.claim import Claim, Collection, decide_again, decide_entry
from backend.services.talent_code.model.notices import claim_notice
from backend.services.talent_code.model.problems import ClaimedAlready
from backend.services.talent_code.model.steps import (
    Step,
    asking_back,
    asking_for_part,
    collection_answered,
    cut,
    entered,
    in_line,
    may_be_stopped,
    next_collection_id,
    next_part,
    next_step,
    payout_answered,
    rested,
    stopped,
)
from backend.services.talent_code.model.talent import Taken, Talent
from backend.services.talent_code.people import change_talent, in_time, insured_months, terms_of
from backend.services.talent_code.ports import PayoutBank
from backend.store import Conflict, Order
from backend.store.update import update_document

MAX_CLAIMS = 1_000
MAX_STEPS = 60
MAX_ATTEMPTS = 20

_log = logging.getLogger("chengma.talent_code")


async def own_claims(city: City, person: str) -> list[Claim]:
    """Give the claims of a person, the newest first."""
    newest = Order("claimed_ms", "descending")
    return (await city.store.find(Claim, {"subject": person}, order=newest, limit=MAX_CLAIMS)).documents


async def advance(city: City, claim_id: str) -> Claim | None:
    """Do what is to be done for a claim now; give it as it stands then, or None for an unknown id.

    Whoever does not answer is asked again later: the claim says when. Raises ClaimedAlready where the person's other
    claims turned out to be in the way; then there is no claim. Raises Conflict if others kept changing it.
    """
    conflicts = 0
    claim = await city.store.get(Claim, claim_id)
    for _ in range(MAX_STEPS):
        if claim is None:
            return None
        now = city.now()
        step = await _next_step(city, claim, now)
        try:
            if step is None:
                resting = rested(claim, now, terms_of(city, now))
                return claim if resting is claim else await city.store.replace(resting)
            claim = await _DO[step](city, claim, now)
        except (Conflict, Overtaken):
            conflicts += 1
            if conflicts > MAX_ATTEMPTS:
                raise Conflict(Claim.collection, claim_id, claim.revision) from None
            await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311  spreads the writers, guards nothing
            claim = await city.store.get(Claim, claim_id)
        except (UpstreamTimeout, UpstreamRejected) as error:
            _log.warning("%s of claim %s waits: %s", step, claim_id, error)
            return await _postpone(city, claim_id)
    return claim


async def _next_step(city: City, claim: Claim, now: datetime) -> Step | None:
    withdrawn = False
    if may_be_stopped(claim):
        talent = await city.store.get(Talent, claim.subject)
        withdrawn = talent is not None and talent.lost_since(claim.claimed_at)
    return next_step(claim, now, terms_of(city, now), withdrawn=withdrawn)


async def _postpone(city: City, claim_id: str) -> Claim | None:
    """Note that a step failed, so that it is tried again later, each time after twice as long."""

    def failed(claim: Claim, _now: datetime) -> Claim:
        return replace(claim, failures=claim.failures + 1)

    return await change_claim(city, claim_id, failed)


async def change_claim(city: City, claim_id: str, change: Callable[[Claim, datetime], Claim]) -> Claim | None:
    """Change a claim as it stands now; `change` gives back the same object where there is nothing to change.

    Gives None for an unknown id. Raises Conflict if others kept changing it, and whatever `change` raises.
    """

    def changed(claim: Claim) -> Claim:
        now = city.now()
        after = change(claim, now)
        return claim if after is claim else rested(after, now, terms_of(city, now))

    return await update_document(city.store, lambda: city.store.get(Claim, claim_id), changed)


async def keep(city: City, claim: Claim, now: datetime) -> Claim:
    """Store a claim, and with it when a sweep is to look at it if nobody goes on. Raises Conflict."""
    return await city.store.replace(rested(claim, now, terms_of(city, now)))


# ── what the person has claimed ──


async def _take(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Note the claim with its person, unless their other claims bar it: that decides between two made at once."""
    terms_of_benefits = terms_in(city.rulebook)

    def take(talent: Talent, _now: datetime) -> Talent:
        if any(taken.claim == claim.id for taken in talent.taken):
            return talent
        barred = barrier(talent, claim.benefit, terms_of_benefits, claim.claimed_at)
        if barred is not None:
            raise ClaimedAlready(barred.because, ends_at=barred.ends_at)
        return replace(talent, taken=(*talent.taken, Taken(claim.id, claim.benefit, claim.claimed_at)))

    try:
        await change_talent(city, claim.subject, take)
    except ClaimedAlready:
        await city.store.delete(claim)
        raise
    return await _reserve(city, replace(claim, state="claimed"), now)


async def _free(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Let a claim that came to nothing bar no other."""

    def free(talent: Talent, _now: datetime) -> Talent:
        left = tuple(taken for taken in talent.taken if taken.claim != claim.id)
        return talent if len(left) == len(talent.taken) else replace(talent, taken=left)

    await change_talent(city, claim.subject, free)
    return await keep(city, replace(claim, freed=True), now)


# ── the budget ──


async def _reserve(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Decide to reserve the money, in this year's budget; whoever comes after others that wait goes to the end."""
    budget = current_budget(city, claim.benefit)
    if claim.budget not in (None, budget):
        voiding = decide_entry(claim, "void", 0, now)  # nothing may be reserved in last year's, however late
        return await keep(city, voiding, now)
    if terms_in(city.rulebook)(claim.benefit, now) is None:
        return await keep(city, stopped(claim, now, "stopped"), now)  # the benefit has ended meanwhile
    ahead = await city.store.find(Claim, {"line": claim.benefit}, order=Order("claimed_ms"), limit=1)
    if ahead.documents and ahead.documents[0].claimed_ms <= claim.claimed_ms:
        return await keep(city, in_line(claim, now), now)
    return await keep(city, reserving(claim, budget, now), now)


def reserving(claim: Claim, budget: str, now: datetime) -> Claim:
    """Note that a claim's money is to be reserved in a budget."""
    decided = replace(claim, budget=budget, state="claimed", line=None)
    return decide_entry(decided, "reserve", claim.amount_fen, now, places=1)


async def _enter(city: City, claim: Claim, now: datetime) -> Claim | None:
    entry, budget = claim.entry, claim.budget
    assert entry is not None, "there is an entry to make"
    assert budget is not None, "an entry is made in a budget"
    try:
        await enter(city, budget, entry)
    except NoBudget:
        return await keep(city, in_line(claim, now), now)
    except Overtaken as overtaken:
        return await keep(city, decide_again(claim, overtaken.closed_until, now), now)
    claim = entered(claim, entry)
    if entry.kind in ("reserve", "pay"):
        pays = next_part(claim, now) is not None and await _next_step(city, claim, now) is Step.PAY
        return await (_pay if pays else keep)(city, claim, now)
    claim = await keep(city, claim, now)
    from backend.services.talent_code.tasks import serve_benefit

    await serve_benefit.enqueue(city.jobs, claim.benefit)  # there is more budget now for those who wait
    return claim


# ── the bank ──


async def _pay(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Note that the bank is asked, ask it, and note what it says; where it is silent it is looked up later."""
    place = next_part(claim, now)
    assert place is not None, "there is a part to pay"
    account = await _account(city, claim)
    asking = await keep(city, asking_for_part(claim, place, now), now)
    payout = asking.parts[place].payout
    try:
        answer = await in_time(city.port(PayoutBank).pay_out(payout, account, claim.parts[place].amount_fen))
    except UpstreamTimeout:
        return asking
    return await note_payout(city, claim.id, payout, answer)


async def _account(city: City, claim: Claim) -> str:
    talent = await city.store.get(Talent, claim.subject)
    assert talent is not None, "a claim is a talent's"
    assert talent.account is not None, "nobody claims money without an account"
    return city.encryption.decrypt(talent.account)


async def note_payout(city: City, claim_id: str, payout: str, answer: BankAnswer) -> Claim | None:
    """Note what the bank says of a payout, whoever brings it and however often."""

    def note(claim: Claim, now: datetime) -> Claim:
        return payout_answered(claim, payout, answer, now, terms_of(city, now))

    return await change_claim(city, claim_id, note)


async def note_collection(city: City, claim_id: str, collection: str, answer: BankAnswer) -> Claim | None:
    """Note what the bank says of a collection, likewise."""

    def note(claim: Claim, now: datetime) -> Claim:
        return collection_answered(claim, collection, answer, now)

    return await change_claim(city, claim_id, note)


async def _look_up(city: City, claim: Claim, _now: datetime) -> Claim | None:
    """Ask what became of a payout; what the bank never got is asked for again under the same id."""
    place = claim.asked()
    assert place is not None, "a part is with the bank"
    part, bank = claim.parts[place], city.port(PayoutBank)
    answer = await in_time(bank.look_up(part.payout))
    if answer.outcome == "unknown":
        answer = await in_time(bank.pay_out(part.payout, await _account(city, claim), part.amount_fen))
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank has not decided yet")
    return await note_payout(city, claim.id, part.payout, answer)


async def _look_up_collection(city: City, claim: Claim, _now: datetime) -> Claim | None:
    collection = claim.clawback.asked() if claim.clawback is not None else None
    assert collection is not None, "a collection is with the bank"
    bank = city.port(PayoutBank)
    answer = await in_time(bank.look_up(collection.id))
    if answer.outcome == "unknown":
        answer = await in_time(bank.collect(collection.id, await _account(city, claim), collection.amount_fen))
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank has not decided yet")
    return await note_collection(city, claim.id, collection.id, answer)


async def _collect(city: City, claim: Claim, now: datetime) -> Claim | None:
    assert claim.clawback is not None, "something is claimed back"
    return await collect(city, claim, Collection(next_collection_id(claim), claim.clawback.owed_fen, now, "city"), now)


async def collect(city: City, claim: Claim, collection: Collection, now: datetime) -> Claim | None:
    """Note that money is taken back, ask the bank, and note what it says. Raises Conflict before the bank was asked."""
    account = await _account(city, claim)
    asking = await keep(city, asking_back(claim, collection), now)
    try:
        answer = await in_time(city.port(PayoutBank).collect(collection.id, account, collection.amount_fen))
    except (UpstreamTimeout, UpstreamRejected):
        return asking  # what became of it is looked up later
    return await note_collection(city, claim.id, collection.id, answer)


# ── the rest ──


async def _stop(city: City, claim: Claim, now: datetime) -> Claim | None:
    return await keep(city, stopped(claim, now, "stopped"), now)


async def _cut(city: City, claim: Claim, now: datetime) -> Claim | None:
    return await keep(city, cut(claim, now), now)


async def _ask_insurance(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Ask for how many months the person has been insured; parts that are due by them are paid next."""
    months = await insured_months(city, claim.subject)
    return await keep(city, replace(claim, insured_months=months, insurance_asked_at=now, failures=0), now)


async def _tell(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Hand the oldest notice over; one that was interrupted just then is told twice rather than never."""
    notice = next(one for one in claim.notices if not one.told)
    await in_time(city.port(Notifications).notify(claim.subject, claim_notice(notice, claim.title)))
    told = tuple(replace(one, told=True) if one is notice else one for one in claim.notices)
    return await keep(city, replace(claim, notices=told, failures=0), now)


_DO: dict[Step, Callable[[City, Claim, datetime], Awaitable[Claim | None]]] = {
    Step.TAKE: _take,
    Step.ENTER: _enter,
    Step.RESERVE: _reserve,
    Step.LOOK_UP: _look_up,
    Step.LOOK_UP_COLLECTION: _look_up_collection,
    Step.STOP: _stop,
    Step.PAY: _pay,
    Step.ASK_INSURANCE: _ask_insurance,
    Step.AUDIT: audit,
    Step.CUT: _cut,
    Step.COLLECT: _collect,
    Step.FREE: _free,
    Step.TELL: _tell,
}
