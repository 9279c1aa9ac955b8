"""Carrying out what resources ask for: everything is tried first, then each visit is written once, or not at all."""

import asyncio
import random
import secrets
from collections.abc import Sequence

from msgspec import Struct

from backend.city.person import parse_id_number
from backend.i18n import Text
from backend.problems import Problem
from backend.services.medical_credit.eligibility import check_eligibility, find_person
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.hospital_commands import apply_command, is_unchanged, save_visit
from backend.services.medical_credit.model.commands import Adjustment, Charge, Credit, PaidAtCounter
from backend.services.medical_credit.model.connection import (
    ANSWER_RETENTION,
    EligibilityAnswer,
    eligibility_id,
)
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.tasks import advance
from backend.store import Conflict, Duplicate
from integrations.his.fhir.charges import Enquiry
from integrations.his.fhir.exchange import Desk, matches
from integrations.his.fhir.kinds import shown_of
from integrations.his.fhir.outcome import PreconditionFailed, RequestChanged
from integrations.his.fhir.reading import Write
from integrations.his.fhir.references import another_patient

MAX_ATTEMPTS = 100
"""Of several writers one always wins, so that a hundred at once are all served."""

AT_A_TIME = 20
"""After so many entries of a bundle others have their turn."""

_LINES = (Charge, Credit, Adjustment, PaidAtCounter)


class Written(Struct, frozen=True):
    """The id of a resource that was told, the visit it is in as it then stands, and whether it is new."""

    id: str
    visit: Visit
    new: bool


class _Plan(Struct, frozen=True):
    """What a visit was, what it becomes, and for each write whether it says something new."""

    before: Visit | None
    after: Visit
    new: list[bool]
    pressing: bool


async def write(desk: Desk, writes: Sequence[tuple[int | None, Write]]) -> list[Written]:
    """Do what is asked for, each with the place of its entry in a bundle, if any; give what came of it in this order.

    Raises the Problem of the first that cannot be done, with its `entry`; then nothing was written, unless the writes
    are of several visits and somebody else changed one of those in between.
    """
    groups: dict[str, list[tuple[int | None, Write]]] = {}
    for one in writes:
        groups.setdefault(one[1].visit, []).append(one)
    plans = {visit: await _planned(desk, visit, group) for visit, group in groups.items()}
    done = {visit: await _kept(desk, visit, group, plans[visit]) for visit, group in groups.items()}
    news = {visit: iter(plan.new) for visit, (plan, _) in done.items()}
    found = [(one, done[one.visit][1]) for _, one in writes]
    return [Written(one.id(visit), visit, next(news[one.visit])) for one, visit in found]


async def _planned(desk: Desk, visit_id: str, group: Sequence[tuple[int | None, Write]]) -> _Plan:
    """Try everything that is asked of a visit, in order, without storing anything."""
    city = desk.city
    before = await city.store.get(Visit, visit_id)
    if before is not None and before.hospital != desk.hospital.id:
        before = None
    visit, new, pressing = before, list[bool](), False
    people: dict[str, str | None] = {}
    for place, (entry, one) in enumerate(group, 1):
        if place % AT_A_TIME == 0:
            await asyncio.sleep(0)
        try:
            _must_match(desk, one, visit)
            was = visit
            for command in one.commands(visit):
                told = await apply_command(city, desk.hospital, one.number, visit, command, _event())
                if not is_unchanged(visit, told):
                    visit = told
                    pressing = pressing or not isinstance(command, _LINES)
            assert visit is not None, "a visit that nobody opened was refused"
            if one.patient is not None:
                await _must_be_about(desk, visit, one.patient, people)
            new.append(visit is not was)
        except Problem as problem:
            if entry is not None:
                problem.members["entry"] = entry
            raise
    assert visit is not None, "there is something in every group"
    return _Plan(before, visit, new, pressing)


def _event() -> str:
    """Name one interaction: what is told twice is told by the state it asks for, and so changes nothing."""
    return f"fhir-{secrets.token_hex(8)}"


def _must_match(desk: Desk, one: Write, visit: Visit | None) -> None:
    if one.if_match is None or visit is None:
        return
    shown = shown_of(one.kind, desk, visit, one.id(visit))
    if shown is None or not matches(one.if_match, shown):
        raise stale()


def stale() -> PreconditionFailed:
    """Give the Problem for a version that no longer stands."""
    return PreconditionFailed(Text(zh="资源已被更改，请重新读取。", en="The resource has changed; read it again."))


async def _must_be_about(desk: Desk, visit: Visit, id_number: str, people: dict[str, str | None]) -> None:
    if id_number not in people:
        people[id_number] = await find_person(desk.city, id_number)
    if people[id_number] != visit.person:
        raise another_patient()


async def _kept(
    desk: Desk, visit_id: str, group: Sequence[tuple[int | None, Write]], plan: _Plan
) -> tuple[_Plan, Visit]:
    """Store what was planned; where somebody else was faster, plan it anew."""
    city = desk.city
    for attempt in range(MAX_ATTEMPTS):
        try:
            visit = await save_visit(city, plan.before, plan.after)
        except (Conflict, Duplicate):
            await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311  spreads the writers, guards nothing
            plan = await _planned(desk, visit_id, group)
            continue
        due = visit.due_ms is not None and visit.due_ms <= int(desk.now.timestamp() * 1_000)
        if visit is not plan.before and (plan.pressing or due):
            await advance.enqueue(city.jobs, visit.id)
        return plan, visit
    raise Conflict(Visit.collection, visit_id, 0)


async def enquire(desk: Desk, asked: Enquiry) -> tuple[EligibilityAnswer, bool]:
    """Answer whether a person may pay later, and keep the answer; tell whether it is new.

    A request that is repeated under its number is answered as it was before. Raises InvalidIdNumber.
    """
    store = desk.city.store
    key = secrets.token_hex(16) if asked.number is None else eligibility_id(desk.hospital.id, asked.number)
    patient = desk.patient(f"id number {parse_id_number(asked.id_number, desk.city.today()).number}")
    known = await store.get(EligibilityAnswer, key) if asked.number is not None else None
    if known is not None:
        return _same(known, patient, asked.kind), False
    answer = await check_eligibility(desk.city, desk.hospital, asked.id_number, asked.kind)
    made = EligibilityAnswer(
        id=key,
        hospital=desk.hospital.id,
        number=asked.number,
        patient=patient,
        kind=asked.kind,
        created_at=desk.now,
        created_ms=_ms(desk.now.timestamp()),
        expires_ms=_ms((desk.now + ANSWER_RETENTION).timestamp()),
        eligible=answer.eligible,
        available_fen=answer.available_fen,
    )
    try:
        return await store.insert(made), True
    except Duplicate:
        return _same((await store.get(EligibilityAnswer, key)) or made, patient, asked.kind), False


def _same(known: EligibilityAnswer, patient: str, kind: VisitKind) -> EligibilityAnswer:
    """Refuse an answer about somebody or something else. Raises RequestChanged."""
    if (known.patient, known.kind) != (patient, kind):
        raise RequestChanged(
            Text(
                zh="该询问号已用于另一次询问。",
                en="This number was used for a request about somebody or something else.",
            )
        )
    return known


def _ms(seconds: float) -> int:
    return int(seconds * 1_000)
