"""What is next for a claim, and how it stands after each step; carrying the steps out is `advancing`'s."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from msgspec.structs import replace

from backend.city.upstream import BankAnswer
from backend.services.talent_code.model.budget import Entry
from backend.services.talent_code.model.claim import (
    Audit,
    Claim,
    Clawback,
    Collection,
    Part,
    decide_entry,
    notify,
    with_part,
)
from backend.services.talent_code.model.talent import Terms

ANSWERED_WITHIN = timedelta(seconds=20)
"""The bank is asked again about what it has not answered by then."""

TRIED_AGAIN_AFTER = timedelta(days=1)
"""A payout or collection that the bank could not carry out is tried again a day later."""

LONGEST_WAIT = timedelta(hours=1)


class Step(StrEnum):
    """The steps, each of which is noted before the next is taken."""

    TAKE = "take"
    ENTER = "enter"
    RESERVE = "reserve"
    LOOK_UP = "look_up"
    LOOK_UP_COLLECTION = "look_up_collection"
    STOP = "stop"
    PAY = "pay"
    ASK_INSURANCE = "ask_insurance"
    AUDIT = "audit"
    CUT = "cut"
    COLLECT = "collect"
    FREE = "free"
    TELL = "tell"


def next_step(claim: Claim, now: datetime, term: Terms, *, withdrawn: bool = False) -> Step | None:
    """Give what is to be done for a claim now, or None.

    `withdrawn` says of a claim that `may_be_stopped` that the class it rests on has been withdrawn.
    """
    if claim.state == "draft":
        return Step.TAKE
    if claim.entry is not None:
        return Step.ENTER
    if claim.state == "claimed":
        return Step.RESERVE
    if withdrawn:
        return Step.STOP
    step = _with_the_bank(claim, now, term) if claim.state == "granted" else None
    if step is not None:
        return step
    if claim.state in ("failed", "given_up") and not claim.freed:
        return Step.FREE
    return Step.TELL if any(not notice.told for notice in claim.notices) else None


def may_be_stopped(claim: Claim) -> bool:
    """Tell whether a withdrawn class ends what is open now: what is with the bank or is being entered comes first."""
    collecting = claim.clawback is not None and claim.clawback.asked() is not None
    if claim.after_withdrawal != "stop" or claim.entry is not None or claim.asked() is not None or collecting:
        return False
    return claim.state == "waiting" or (claim.state == "granted" and claim.sum_fen("open") > 0)


def _with_the_bank(claim: Claim, now: datetime, term: Terms) -> Step | None:
    place = claim.asked()
    if place is not None:
        return Step.LOOK_UP if _is_late(claim.parts[place].asked_at, now) else None
    if claim.clawback is not None and (collection := claim.clawback.asked()) is not None:
        return Step.LOOK_UP_COLLECTION if _is_late(collection.asked_at, now) else None
    if next_part(claim, now) is not None:
        return Step.PAY
    cut_at = _cut_at(claim)
    if cut_at is not None and now >= cut_at:
        return Step.CUT
    if _asks_insurance(claim) and now >= _insurance_asked_next(claim, term):
        return Step.ASK_INSURANCE
    audit_at = _audited_at(claim, term)
    if audit_at is not None and now >= audit_at:
        return Step.AUDIT
    collect_at = _collected_at(claim)
    return Step.COLLECT if collect_at is not None and now >= collect_at else None


def _is_late(asked_at: datetime | None, now: datetime) -> bool:
    return asked_at is not None and now - asked_at >= ANSWERED_WITHIN


def next_part(claim: Claim, now: datetime) -> int | None:
    """Give the place of the part that can be paid now, or None."""
    for place, part in enumerate(claim.parts):
        if part.state == "open" and part.insured_months <= claim.insured_months:
            waits = _is_held(claim, part) or (part.try_at is not None and now < part.try_at)
            return None if waits else place
    return None


def _is_held(claim: Claim, part: Part) -> bool:
    """Tell whether a part is not paid because it is beyond what an audit has left, unless an appeal is won."""
    audit = claim.audit
    return audit is not None and claim.excess_fen > 0 and claim.paid_fen + part.amount_fen > audit.entitled_fen


def _cut_at(claim: Claim) -> datetime | None:
    """Give when what is open beyond what an audit has left comes to nothing: once no appeal can be won."""
    clawback = claim.clawback
    if clawback is None or clawback.is_appealed or claim.excess_fen == 0:
        return None
    return clawback.noticed_at if clawback.appeal is not None or clawback.is_collected else clawback.appeal_until


def _asks_insurance(claim: Claim) -> bool:
    return any(
        part.state == "open" and part.insured_months > claim.insured_months and not _is_held(claim, part)
        for part in claim.parts
    )


def _insurance_asked_next(claim: Claim, term: Terms) -> datetime:
    return (claim.insurance_asked_at or claim.claimed_at) + timedelta(hours=term("instalment_hours"))


def _audited_at(claim: Claim, term: Terms) -> datetime | None:
    if claim.audit is not None or claim.first_paid_at is None:
        return None
    return claim.first_paid_at + timedelta(days=term("audit_days"))


def _collected_at(claim: Claim) -> datetime | None:
    """Give when the city takes back by itself what is owed, or None while it does not."""
    clawback = claim.clawback
    if clawback is None or clawback.owed_fen <= 0 or clawback.is_appealed or clawback.asked() is not None:
        return None
    failed = [one.asked_at for one in clawback.collections if one.state == "failed"]
    return max(clawback.collect_at, *(at + TRIED_AGAIN_AFTER for at in failed)) if failed else clawback.collect_at


# ── money that goes out ──


def asking_for_part(claim: Claim, place: int, now: datetime) -> Claim:
    """Note that the bank is asked to pay a part."""
    part = claim.parts[place]
    payout = f"{claim.id}/payout/{place + 1}/{part.attempts + 1}"
    return with_part(claim, place, replace(part, state="asked", payout=payout, asked_at=now))


def payout_answered(claim: Claim, payout: str, answer: BankAnswer, now: datetime, term: Terms) -> Claim:
    """Note what became of a payout: the first decision stands, whoever brings it and however often."""
    place = claim.asked()
    if place is None or claim.parts[place].payout != payout or answer.outcome in ("pending", "unknown"):
        return claim
    part = claim.parts[place]
    claim = replace(claim, failures=0)
    if answer.outcome == "done":
        paid = replace(part, state="paid", paid_at=now, receipt=answer.receipt)
        return notify(
            decide_entry(with_part(claim, place, paid), "pay", part.amount_fen, now), "paid", part.amount_fen, now
        )
    attempts = part.attempts + 1
    tried = replace(part, state="open", attempts=attempts, try_at=now + TRIED_AGAIN_AFTER)
    if claim.paid_fen == 0 and part.insured_months == 0:
        return stopped(with_part(claim, place, tried), now, "failed")
    if attempts >= term("payout_tries"):
        return stopped(with_part(claim, place, tried), now, "stopped")
    return notify(with_part(claim, place, tried), "payout_failed", part.amount_fen, now)


def stopped(claim: Claim, now: datetime, told: Literal["failed", "stopped"]) -> Claim:
    """Pay nothing more: what is open is given back to the budget, and a claim of which nothing was paid has failed."""
    open_fen = claim.sum_fen("open")
    parts = tuple(replace(part, state="stopped") if part.state == "open" else part for part in claim.parts)
    nothing_paid = claim.paid_fen == 0
    claim = notify(
        replace(claim, parts=parts, state="failed" if nothing_paid else claim.state, line=None),
        told,
        open_fen,
        now,
    )
    if claim.reserved:
        return decide_entry(claim, "release", open_fen, now, places=-1 if nothing_paid else 0)
    return claim if claim.budget is None else decide_entry(claim, "void", 0, now)


def given_up(claim: Claim, now: datetime) -> Claim:
    """Leave the line: the claim comes to nothing."""
    parts = tuple(replace(part, state="stopped") for part in claim.parts)
    claim = replace(claim, parts=parts, state="given_up", line=None)
    return claim if claim.budget is None else decide_entry(claim, "void", 0, now)


def tried_at_once(claim: Claim) -> Claim:
    """Have payouts that failed tried again now, and not a day later."""
    if not any(part.state == "open" and part.try_at is not None for part in claim.parts):
        return claim
    parts = tuple(replace(part, try_at=None) if part.state == "open" else part for part in claim.parts)
    return replace(claim, parts=parts)


# ── the budget ──


def entered(claim: Claim, entry: Entry) -> Claim:
    """Note that an entry was made."""
    claim = replace(claim, entry=None, failures=0)
    match entry.kind:
        case "reserve":
            return replace(claim, reserved=True, state="granted", line=None)
        case "void":
            return replace(claim, budget=None)
        case "pay" | "release" | "return":
            return replace(claim, entries=claim.entries + 1)


def in_line(claim: Claim, now: datetime) -> Claim:
    """Have a claim wait for budget; its person is told once."""
    waiting = replace(claim, entry=None, state="waiting", line=claim.benefit)
    told = any(notice.kind == "waiting" for notice in claim.notices)
    return waiting if told else notify(waiting, "waiting", claim.amount_fen, now)


# ── money that comes back ──


def audited(claim: Claim, audit: Audit, now: datetime, term: Terms) -> Claim:
    """Note what an audit found: what was paid beyond the entitlement is claimed back.

    What is still to come beyond it is held, and cut once it is certain that no appeal is won.
    """
    claim = replace(claim, audit=audit, failures=0)
    if not audit.differing or audit.entitled_fen >= claim.sum_fen("open", "paid"):
        return claim
    overpaid_fen = max(0, claim.paid_fen - audit.entitled_fen)
    appeal_until = now + timedelta(days=term("appeal_days"))
    clawback = Clawback(overpaid_fen, now, appeal_until, appeal_until + timedelta(days=term("repay_days")))
    claim = replace(claim, clawback=clawback)
    if overpaid_fen:
        return notify(claim, "clawed_back", overpaid_fen, now)
    return notify(claim, "to_be_reduced", claim.excess_fen, now)


def cut(claim: Claim, now: datetime) -> Claim:
    """Cut open parts to what an audit has left of the entitlement, the last first, and give the rest to the budget."""
    assert claim.audit is not None, "an audit says what is left"
    allowed_fen, cut_fen = max(0, claim.audit.entitled_fen - claim.paid_fen), 0
    parts: list[Part] = []
    for part in claim.parts:
        if part.state != "open":
            parts.append(part)
            continue
        kept_fen = min(part.amount_fen, allowed_fen)
        allowed_fen, cut_fen = allowed_fen - kept_fen, cut_fen + part.amount_fen - kept_fen
        if kept_fen:
            parts.append(replace(part, amount_fen=kept_fen))
    claim = replace(claim, parts=tuple(parts))
    return notify(decide_entry(claim, "release", cut_fen, now), "reduced", cut_fen, now)


def asking_back(claim: Claim, collection: Collection) -> Claim:
    """Note that the bank is asked to take money back."""
    assert claim.clawback is not None, "something is claimed back"
    clawback = replace(claim.clawback, collections=(*claim.clawback.collections, collection))
    return replace(claim, clawback=clawback)


def next_collection_id(claim: Claim) -> str:
    """Give the id of the next collection that the city makes by itself."""
    assert claim.clawback is not None, "something is claimed back"
    return f"{claim.id}/collection/{len(claim.clawback.collections) + 1}"


def collection_answered(claim: Claim, collection_id: str, answer: BankAnswer, now: datetime) -> Claim:
    """Note what became of a collection, once."""
    asked = claim.clawback.asked() if claim.clawback is not None else None
    if asked is None or asked.id != collection_id or answer.outcome in ("pending", "unknown"):
        return claim
    assert claim.clawback is not None, "it was asked for"
    done = answer.outcome == "done"
    noted = replace(asked, state="done" if done else "failed", receipt=answer.receipt)
    collections = tuple(noted if one is asked else one for one in claim.clawback.collections)
    claim = replace(claim, clawback=replace(claim.clawback, collections=collections), failures=0)
    if not done:
        return claim
    return notify(decide_entry(claim, "return", asked.amount_fen, now), "returned", asked.amount_fen, now)


# ── when a sweep is to look again ──


def rested(claim: Claim, now: datetime, term: Terms) -> Claim:
    """Note when a sweep is to look at a claim again, and whether an appeal waits."""
    due_at = _due_at(claim, now, term)
    due_ms = None if due_at is None else int(due_at.timestamp() * 1_000)
    appeal = claim.clawback.appeal if claim.clawback is not None and claim.clawback.is_appealed else None
    appealed_ms = int(appeal.at.timestamp() * 1_000) if appeal is not None else None
    if (due_ms, appealed_ms) == (claim.due_ms, claim.appealed_ms):
        return claim
    return replace(claim, due_ms=due_ms, appealed_ms=appealed_ms)


def _due_at(claim: Claim, now: datetime, term: Terms) -> datetime | None:
    if next_step(claim, now, term) is not None:
        return now + min(timedelta(seconds=5 * 2 ** min(claim.failures, 10)), LONGEST_WAIT)
    if claim.state != "granted":
        return None
    place, clawback = claim.asked(), claim.clawback
    asked_at = claim.parts[place].asked_at if place is not None else None
    if asked_at is None and clawback is not None and (collection := clawback.asked()) is not None:
        asked_at = collection.asked_at
    if asked_at is not None:
        return asked_at + ANSWERED_WITHIN
    open_parts = [part for part in claim.parts if part.state == "open" and not _is_held(claim, part)]
    moments = [part.try_at for part in open_parts if part.try_at is not None]
    if _asks_insurance(claim):
        moments.append(_insurance_asked_next(claim, term))
    moments.extend(at for at in (_audited_at(claim, term), _cut_at(claim), _collected_at(claim)) if at is not None)
    return min(moments, default=None)
