"""Taking what hospitals tell: find the visit, apply what is told, and store it with one write."""

import asyncio
import random
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.i18n import Text
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.commands import ChangeVisit, Command, OpenVisit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import CannotPayLater, UnknownPatient, UnknownVisit
from backend.services.medical_credit.model.telling import tell
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.people import find_enrolment, find_person, fresh_enrolment, stand_of, terms_of
from backend.store import Conflict, Duplicate

MAX_ATTEMPTS = 100
"""Of several writers one always wins, so that a hundred at once are all served."""

FINISHED_WITHIN = timedelta(seconds=30)
"""A visit whose credit is not set aside by then was interrupted, and falls due to the sweep."""


class Taken(Struct, frozen=True):
    """The visit as it stands after something was told, and whether that was `repeated` and changed nothing."""

    visit: Visit
    repeated: bool


class Eligibility(Struct, frozen=True):
    """Whether a person may pay later for a visit now, and up to how much; nothing tells why, or by which score."""

    may: bool
    free_fen: int


async def take(city: City, hospital: Hospital, number: str, command: Command, event: str) -> Taken:
    """Take what a hospital tells of its visit `number`, in the message named `event`, once.

    Raises the Problems of `model.problems`; then nothing was changed. What follows from it is done by `advance`.
    """
    key = visit_id(hospital.id, number)
    for attempt in range(MAX_ATTEMPTS):
        visit = await city.store.get(Visit, key)
        told = await hear(city, hospital, number, visit, command, event)
        try:
            return Taken(await keep(city, visit, told), repeated=says_nothing_new(visit, told))
        except (Conflict, Duplicate):
            await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311  spreads the writers, guards nothing
    raise Conflict(Visit.collection, key, 0)


def says_nothing_new(before: Visit | None, told: Visit) -> bool:
    """Tell that a visit is what it was before, but for remembering the message."""
    if before is None or told is before:
        return told is before
    return told.events is not before.events and replace(told, events=before.events) == before


async def hear(city: City, hospital: Hospital, number: str, visit: Visit | None, command: Command, event: str) -> Visit:
    """Give what a visit becomes by what is told, not stored yet; the same object where that is nothing new.

    So several things can be told and then be kept together, or not at all. Raises the Problems of `model.problems`.
    """
    now = city.now()
    if visit is not None:
        return tell(visit, command, event, await _person_in(city, command), terms_of(city, now), now)
    if not isinstance(command, OpenVisit):
        raise _unknown(number)
    return await _opened(city, hospital, number, command, event, now)


async def keep(city: City, before: Visit | None, told: Visit) -> Visit:
    """Store what a visit has become since it was read. Raises Conflict or Duplicate where others changed it."""
    if told is before:
        return told
    touched = replace(told, changed_ms=_ms(city.now()))
    return await city.store.insert(touched) if before is None else await city.store.replace(touched)


async def _person_in(city: City, command: Command) -> str | None:
    number = command.id_number if isinstance(command, OpenVisit | ChangeVisit) else None
    return None if number is None else await find_person(city, number)


async def _opened(city: City, hospital: Hospital, number: str, command: OpenVisit, event: str, now: datetime) -> Visit:
    enrolment = await fresh_enrolment(city, await find_enrolment(city, command.id_number), now)
    stand = await stand_of(city, enrolment, command.kind, now)
    if stand.standing not in ("good", "exception"):
        raise CannotPayLater(
            Text(
                zh="该患者本次不能先看病后付费。",
                en="This person cannot pay later for this visit; ask for payment now.",
            )
        )
    terms = terms_of(city, now)
    exceptional = stand.standing == "exception"
    opening = {
        "outpatient": terms("opening_hold_outpatient_fen"),
        "emergency": terms("opening_hold_emergency_fen"),
        "inpatient": terms("opening_hold_inpatient_fen"),
    }
    return Visit(
        id=visit_id(hospital.id, number),
        hospital=hospital.id,
        number=number,
        person=enrolment.id,
        kind=command.kind,
        opened_at=command.opened_at,
        opened_ms=_ms(command.opened_at),
        made_at=now,
        changed_ms=_ms(now),
        wanted_hold_fen=0 if exceptional else max(command.estimate_fen or 0, opening[command.kind]),
        expires_at=now + timedelta(days=terms("hold_days")),
        exceptional=exceptional,
        automatic=enrolment.automatic_debit,
        events=(event,),
        due_ms=_ms(now + FINISHED_WITHIN),
    )


async def eligibility(city: City, hospital: Hospital, id_number: str, kind: VisitKind) -> Eligibility:
    """Tell a hospital whether a person may pay later now, and up to how much.

    Who is not known, has not agreed, or may not just now, all look the same. Raises InvalidIdNumber.
    """
    assert hospital.enabled, "its requests are refused before"
    now = city.now()
    try:
        enrolment = await fresh_enrolment(city, await find_enrolment(city, id_number), now)
    except UnknownPatient:
        return Eligibility(may=False, free_fen=0)
    stand = await stand_of(city, enrolment, kind, now)
    may = stand.standing in ("good", "exception")
    return Eligibility(may, stand.free_fen if may else 0)


def _unknown(number: str) -> UnknownVisit:
    return UnknownVisit(Text(zh="没有该就诊记录。", en=f"No visit {number} was opened."), visit=number)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
