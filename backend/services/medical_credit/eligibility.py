"""Who is enrolled in pay later, and whether and up to which amount a person may pay later now."""

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
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import NotEnrolled, UnknownPatient
from backend.services.medical_credit.model.terms import Terms
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import CreditRegistry
from backend.store import Conflict, Duplicate

MAX_UNPAID_VISITS = 100


class Assessment(Struct, frozen=True):
    """Whether a person may pay later now: the verdict of the rules and the available credit."""

    standing: Standing
    verdict: Verdict
    account: CreditAccount
    available_fen: int


class Eligibility(Struct, frozen=True):
    """Whether a person may pay later for a visit now, and up to which amount; it discloses neither reason nor score."""

    eligible: bool
    available_fen: int


def terms_of(city: City, at: datetime) -> Terms:
    """Return a function that returns the figures of the agreement in force at an instant."""

    def term(name: Term) -> int:
        return cast("int", city.rulebook.evaluate(TERMS, TermAsked(name), at).result)

    return term


async def find_person(city: City, id_number: str) -> str | None:
    """Return the id of the Profile with this ID number, or None. Raises InvalidIdNumber."""
    number = parse_id_number(id_number, city.today()).number
    found = await city.store.find(Person, {"id_digest": id_digest(city.encryption, number)}, limit=1)
    return found.documents[0].id if found.documents else None


async def find_enrolment(city: City, id_number: str) -> Enrolment:
    """Return the enrolment of the person with this ID number.

    Raises UnknownPatient if the person or the enrolment is missing.
    """
    person = await find_person(city, id_number)
    enrolment = await city.store.get(Enrolment, person) if person is not None else None
    if enrolment is None or enrolment.closed_at is not None:
        raise UnknownPatient(
            Text(zh="该患者未开通先看病后付费。", en="No person with this ID number is enrolled in pay later.")
        )
    return enrolment


async def own_enrolment(city: City, person: str) -> Enrolment:
    """Return a person's enrolment. Raises NotEnrolled."""
    enrolment = await city.store.get(Enrolment, person)
    if enrolment is None or enrolment.closed_at is not None:
        raise NotEnrolled(
            Text(zh="您尚未开通先看病后付费，请先开通。", en="You are not enrolled in pay later; please enrol first.")
        )
    return enrolment


async def fetch_credit_facts(city: City, profile: Person) -> CreditFacts:
    """Fetch a person's credit facts from the city's registries. Raises UpstreamTimeout."""
    zone = ZoneInfo(city.settings.time_zone)
    number = city.encryption.decrypt(profile.id_number)
    return await city.port(CreditRegistry).facts(
        number, birthday(profile.born_on, ADULT_YEARS, zone), birthday(profile.born_on, SENIOR_YEARS, zone)
    )


async def refresh_enrolment(city: City, enrolment: Enrolment, now: datetime) -> Enrolment:
    """Return the enrolment with current facts; if the registries do not answer, the stored facts are used."""
    if now - enrolment.facts_at < timedelta(days=terms_of(city, now)("facts_days")):
        return enrolment
    profile = await city.store.get(Person, enrolment.id)
    assert profile is not None, "an enrolled person has a Profile"
    try:
        facts = await fetch_credit_facts(city, profile)
        return await city.store.replace(replace(enrolment, facts=facts, facts_at=now))
    except (UpstreamTimeout, Conflict):
        return enrolment


async def assess(city: City, enrolment: Enrolment, kind: VisitKind | None, now: datetime) -> Assessment:
    """Return whether a person may pay later now, for a kind of visit or in general."""
    account = await open_account(city, enrolment, purpose_of(kind or "outpatient"), now)
    owing = await city.store.find(Visit, {"person": enrolment.id, "owing": True}, limit=MAX_UNPAID_VISITS)
    available_fen = account.available_fen(now)
    facts = standing_facts(enrolment, kind, available_fen, overdue_parts(owing.documents))
    verdict = city.rulebook.evaluate(STANDING, facts, now)
    city.decision_counts[verdict.module, verdict.rule, verdict.result] += 1
    return Assessment(verdict.result, verdict, account, available_fen)


async def check_eligibility(city: City, hospital: Hospital, id_number: str, kind: VisitKind) -> Eligibility:
    """Answer a hospital's eligibility request: whether a person may pay later now, and up to which amount.

    A person who is unknown, not enrolled or not eligible gets the same answer. Raises InvalidIdNumber.
    """
    assert hospital.enabled, "requests of disabled hospitals are refused earlier"
    now = city.now()
    try:
        enrolment = await refresh_enrolment(city, await find_enrolment(city, id_number), now)
    except UnknownPatient:
        return Eligibility(eligible=False, available_fen=0)
    assessment = await assess(city, enrolment, kind, now)
    eligible = assessment.standing in ("good", "exception")
    return Eligibility(eligible, assessment.available_fen if eligible else 0)


def limit_verdict(city: City, enrolment: Enrolment, purpose: Purpose, now: datetime) -> Verdict:
    """Return the verdict on a person's limit."""
    return city.rulebook.evaluate(LIMIT[purpose], enrolment.facts, now)


async def open_account(city: City, enrolment: Enrolment, purpose: Purpose, now: datetime) -> CreditAccount:
    """Return a person's credit account with the limit in force now; it is created if it does not exist."""
    limit_fen: int = limit_verdict(city, enrolment, purpose, now).result
    account = await city.store.get(CreditAccount, account_id(enrolment.id, purpose))
    if account is None:
        try:
            return await city.store.insert(CreditAccount(id=account_id(enrolment.id, purpose), limit_fen=limit_fen))
        except Duplicate:
            return await open_account(city, enrolment, purpose, now)
    return account if account.limit_fen == limit_fen else replace(account, limit_fen=limit_fen)


async def update_account(
    city: City, account: CreditAccount, change: Callable[[CreditAccount], CreditAccount]
) -> CreditAccount:
    """Store a changed account. Raises Conflict if another writer changed it, and whatever `change` raises."""
    changed = change(account)
    return account if changed is account else await city.store.replace(changed)
