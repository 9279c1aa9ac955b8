"""Who has agreed to pay later, and what the rules say of them now."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.person import Person, id_digest, parse_id_number
from backend.city.service import City
from backend.city.upstream import UpstreamTimeout
from backend.i18n import Text
from backend.paylater.credit_account import CreditAccount
from backend.rulebook import Verdict
from backend.services.medical_credit.facts import CreditFacts, Term, TermAsked, VisitKind
from backend.services.medical_credit.model.enrolment import (
    ADULT_YEARS,
    LIMIT,
    SENIOR_YEARS,
    STANDING,
    TERMS,
    Enrolment,
    Purpose,
    Standing,
    account_id,
    birthday,
    overdue_parts,
    purpose_of,
    standing_facts,
)
from backend.services.medical_credit.model.problems import UnknownPatient
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import CreditRegistry
from backend.store import Conflict, Duplicate

MAX_UNPAID_VISITS = 100


class Stand(Struct, frozen=True):
    """What the rules say of a person who wants to pay later now: the verdict, and what the limit leaves."""

    standing: Standing
    verdict: Verdict
    account: CreditAccount
    free_fen: int


def terms_of(city: City, at: datetime) -> Callable[[Term], int]:
    """Give the figures of the agreement as the rules have them at an instant."""

    def term(asked: Term) -> int:
        return cast("int", city.rulebook.evaluate(TERMS, TermAsked(asked), at).result)

    return term


async def find_person(city: City, id_number: str) -> str | None:
    """Give the Profile's id of the person with this ID number, or None. Raises InvalidIdNumber."""
    number = parse_id_number(id_number, city.today()).number
    found = await city.store.find(Person, {"id_digest": id_digest(city.encryption, number)}, limit=1)
    return found.documents[0].id if found.documents else None


async def find_enrolment(city: City, id_number: str) -> Enrolment:
    """Give the enrolment of the person with this ID number. Raises UnknownPatient, whatever it is that is missing."""
    person = await find_person(city, id_number)
    enrolment = await city.store.get(Enrolment, person) if person is not None else None
    if enrolment is None or enrolment.closed_at is not None:
        raise UnknownPatient(
            Text(zh="该患者未开通先看病后付费。", en="No person with this ID number has agreed to pay later.")
        )
    return enrolment


async def ask_registry(city: City, profile: Person) -> CreditFacts:
    """Ask the city's registries about a person. Raises Silent."""
    zone = ZoneInfo(city.settings.time_zone)
    number = city.encryption.decrypt(profile.id_number)
    return await city.port(CreditRegistry).facts(
        number, birthday(profile.born_on, ADULT_YEARS, zone), birthday(profile.born_on, SENIOR_YEARS, zone)
    )


async def fresh_enrolment(city: City, enrolment: Enrolment, now: datetime) -> Enrolment:
    """Give an enrolment whose facts are not too old; while the registries are away the old ones count."""
    if now - enrolment.facts_at < timedelta(days=terms_of(city, now)("facts_days")):
        return enrolment
    profile = await city.store.get(Person, enrolment.id)
    assert profile is not None, "an enrolment is a known person's"
    try:
        facts = await ask_registry(city, profile)
        return await city.store.replace(replace(enrolment, facts=facts, facts_at=now))
    except (UpstreamTimeout, Conflict):
        return enrolment


async def stand_of(city: City, enrolment: Enrolment, kind: VisitKind | None, now: datetime) -> Stand:
    """Give what the rules say of a person just now, for a kind of visit or in general."""
    account = await open_account(city, enrolment, purpose_of(kind or "outpatient"), now)
    owing = await city.store.find(Visit, {"person": enrolment.id, "owing": True}, limit=MAX_UNPAID_VISITS)
    free_fen = account.free_fen(now)
    facts = standing_facts(enrolment, kind, free_fen, overdue_parts(owing.documents))
    verdict = city.rulebook.evaluate(STANDING, facts, now)
    city.decision_counts[verdict.module, verdict.rule, verdict.result] += 1
    return Stand(verdict.result, verdict, account, free_fen)


def limit_verdict(city: City, enrolment: Enrolment, purpose: Purpose, now: datetime) -> Verdict:
    """Give a person's limit, and why."""
    return city.rulebook.evaluate(LIMIT[purpose], enrolment.facts, now)


async def open_account(city: City, enrolment: Enrolment, purpose: Purpose, now: datetime) -> CreditAccount:
    """Give a person's account with the limit as the rules have it now; it is opened where there is none yet."""
    limit_fen: int = limit_verdict(city, enrolment, purpose, now).result
    account = await city.store.get(CreditAccount, account_id(enrolment.id, purpose))
    if account is None:
        try:
            return await city.store.insert(CreditAccount(id=account_id(enrolment.id, purpose), limit_fen=limit_fen))
        except Duplicate:
            return await open_account(city, enrolment, purpose, now)
    return account if account.limit_fen == limit_fen else replace(account, limit_fen=limit_fen)


async def change_account(
    city: City, account: CreditAccount, change: Callable[[CreditAccount], CreditAccount]
) -> CreditAccount:
    """Store a changed account. Raises Conflict where somebody else changed it, and whatever `change` raises."""
    changed = change(account)
    return account if changed is account else await city.store.replace(changed)
