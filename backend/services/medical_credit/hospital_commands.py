"""Handle hospital commands: find the visit, apply the command, and store it with one write."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, InvalidIdNumber
from backend.city.service import City
from backend.paylater.coverage import move_to_purpose
from backend.problems import Problem
from backend.services.medical_credit.eligibility import assess, find_person_id, refresh_enrolment, terms_of
from backend.services.medical_credit.facts import Term, VisitKind
from backend.services.medical_credit.hospital_access import PatientRequest, assess_patient, patient_document
from backend.services.medical_credit.model.commands import (
    ChangeVisit,
    Command,
    OpenVisit,
    check_beginning,
    transition,
)
from backend.services.medical_credit.model.desk_token import PatientKeys, desk_token_id
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import CannotPayLater, OtherPatient, UnknownVisit
from backend.services.medical_credit.model.visit import Visit, plain_number, visit_id
from backend.store.in_hand import change_in_hand, keep_in_hand
from backend.store.place import Place
from backend.store.time import to_ms
from backend.store.update import insert_or_get, retry_on_conflict

OPENING_HOLDS: dict[VisitKind, Term] = {
    "outpatient": "opening_hold_outpatient_fen",
    "emergency": "opening_hold_emergency_fen",
    "inpatient": "opening_hold_inpatient_fen",
}
OPENING_TIMEOUT = timedelta(seconds=30)
"""A visit without a hold by then was interrupted, and the sweep resumes it."""

MAX_LINES_IN_HAND = 100
"""A visit with more lines is read before each command rather than kept in memory: at most some 50 KB."""


class CommandRefused(Exception):
    """The command with this `index` was refused because of a Problem, and nothing was changed."""

    def __init__(self, index: int, problem: Problem) -> None:
        super().__init__(f"command {index}: {problem}")
        self.index = index
        self.problem = problem


async def handle_command(city: City, hospital: Hospital, number: str, command: Command, event: str) -> Visit:
    """Apply a hospital's command to its visit `number` once, and return the visit.

    `event` identifies the message that carried it. Raises the Problems of `model.problems`; then nothing is changed.
    The saga does the steps that follow.
    """
    try:
        return await handle_commands(city, hospital, number, [(command, event)])
    except CommandRefused as refused:
        raise refused.problem from refused


async def handle_commands(
    city: City,
    hospital: Hospital,
    number: str,
    commands: Sequence[tuple[Command, str]],
    patient: Sequence[IdentityDocument] = (),
    desk_token: str | None = None,
) -> Visit:
    """Apply the commands of one message, each with its event, in order and with one write: all of them, or none.

    `patient` holds the identity documents in the message, `desk_token` the one that it has. Raises CommandRefused for
    the first command that is refused, and OtherPatient if the visit is another person's.
    """
    first, first_event = commands[0]
    if len(commands) == 1 and isinstance(first, OpenVisit):
        opened = await _insert_opened(city, hospital, number, first, first_event, patient)
        if opened is not None:
            return _kept(city, opened)

    async def changed(before: Visit | None) -> Visit:
        visit = before
        if visit is not None:
            await check_patient(city, visit, patient)
            _check_desk_token(city, visit, patient, desk_token)
        for index, (command, event) in enumerate(commands):
            try:
                visit = await apply_command(city, hospital, number, visit, command, event)
            except Problem as problem:
                raise CommandRefused(index, problem) from problem
        assert visit is not None, "a command to an unknown visit is refused"
        if before is None:
            await check_patient(city, visit, patient)
        return _touched(city, before, visit)

    async def write() -> Visit:
        before = await city.store.get(Visit, key)
        return await _store(city, before, await changed(before))

    key = visit_id(hospital.id, number)
    stored = await change_in_hand(city.store, Visit, key, changed, (CommandRefused, Problem))
    return _kept(city, stored if stored is not None else await retry_on_conflict(write))


def _kept(city: City, visit: Visit) -> Visit:
    """Keep a stored visit for its next command, unless it is over or takes much memory."""
    if visit.closed_at is None and len(visit.lines) <= MAX_LINES_IN_HAND:
        keep_in_hand(city.store, visit)
    return visit


async def check_patient(city: City, visit: Visit, documents: Sequence[IdentityDocument]) -> None:
    """Raise OtherPatient unless the first document is that of the visit's person, and none is that of another person.

    Raises InvalidIdNumber for the first document. Without documents, the visit's number is trusted.
    """
    for document in documents[:1]:
        if await find_person_id(city, document) != visit.person:
            raise _other_patient()
    for document in documents[1:]:
        with suppress(InvalidIdNumber):
            if await find_person_id(city, document) not in (None, visit.person):
                raise _other_patient()


def _check_desk_token(city: City, visit: Visit, documents: Sequence[IdentityDocument], code: str | None) -> None:
    """Raise OtherPatient if a desk token without a document is not the one with which the visit was opened."""
    if code is not None and not documents and desk_token_id(city.encryption, code) != visit.desk_token:
        raise _other_patient()


def _other_patient() -> OtherPatient:
    return OtherPatient(
        zh="该就诊号属于其他患者，请核对患者证件号码和就诊号。",
        en="This visit belongs to another patient; check the patient's number and the visit number.",
    )


async def _insert_opened(
    city: City, hospital: Hospital, number: str, command: OpenVisit, event: str, patient: Sequence[IdentityDocument]
) -> Visit | None:
    """Store a new visit without reading it before; return None if it exists already."""
    try:
        visit = await _opened(city, hospital, number, command, event)
    except Problem as problem:
        if await city.store.get(Visit, visit_id(hospital.id, number)) is None:
            raise CommandRefused(0, problem) from problem
        return None  # it was opened before the person's standing changed
    await check_patient(city, visit, patient)
    stored = await insert_or_get(city.store, visit)
    return stored if stored == replace(visit, revision=1) else None


def is_unchanged(before: Visit | None, after: Visit) -> bool:
    """Return True if at most the list of seen events changed."""
    if before is None or after is before:
        return after is before
    return after.events is not before.events and replace(after, events=before.events) == before


async def apply_command(
    city: City, hospital: Hospital, number: str, visit: Visit | None, command: Command, event: str
) -> Visit:
    """Return the visit after a command without storing it; the same object if the command is already known.

    Several commands can be applied and then be stored together or not at all. Raises the Problems of `model.problems`.
    """
    if visit is not None:
        now = city.now()
        person, terms = await _named_person(city, visit, command), terms_of(city, now)
        changed = transition(visit, command, event, person, terms, now)
        return changed if changed.purpose() == visit.purpose() else await _moved(city, visit, changed)
    if not isinstance(command, OpenVisit):
        raise UnknownVisit(
            zh=f"没有找到就诊号{number}的就诊记录。", en=f"Visit {number} has not been opened.", visit=number
        )
    return await _opened(city, hospital, number, command, event)


async def _named_person(city: City, visit: Visit, command: Command) -> str | None:
    """Return the person whom a command names by a document, or by the desk token with which the visit was opened."""
    document = command.document() if isinstance(command, OpenVisit | ChangeVisit) else None
    if document is not None:
        return await find_person_id(city, document)
    code = command.desk_token if isinstance(command, OpenVisit) else None
    opened_with = code is not None and desk_token_id(city.encryption, code) == visit.desk_token
    return visit.person if opened_with else None


async def _moved(city: City, before: Visit, after: Visit) -> Visit:
    """Return a visit that has become or ceased to be inpatient: it uses the limit of its new kind from now on.

    Raises CannotPayLater if the person may not pay later for the new kind, or has not allowed the hospital, which only
    an emergency does not need; then the visit stays as it was.
    """
    now = city.now()
    enrolment = await city.store.get(Enrolment, before.person)
    assert enrolment is not None, "accounts are closed and never deleted"
    assessment = await assess(city, await refresh_enrolment(city, enrolment, now), after.kind, now)
    needs_consent = before.without_consent and not enrolment.allows(before.hospital)
    if needs_consent or not assessment.allows_visit:
        raise CannotPayLater(
            zh="该患者转为此类就诊后不能先看病后付费，原就诊不变；请结束原就诊，后续费用按常规方式收取。",
            en="This person cannot pay later for a visit of the new kind. The visit stays as it was: close it, and ask "
            "for payment of what follows.",
        )
    exceptional = assessment.standing == "exception"
    requested_fen = 0 if exceptional else terms_of(city, now)(OPENING_HOLDS[after.kind])
    moved = move_to_purpose(before, after, requested_fen, now)
    return replace(moved, exceptional=exceptional, due_ms=to_ms(now))


async def save_visit(city: City, before: Visit | None, after: Visit) -> Visit:
    """Store a changed visit. Raises Conflict or Duplicate if another writer changed it since it was read."""
    return await _store(city, before, _touched(city, before, after))


def _touched(city: City, before: Visit | None, after: Visit) -> Visit:
    return after if after is before else replace(after, changed_ms=to_ms(city.now()))


async def _store(city: City, before: Visit | None, after: Visit) -> Visit:
    if after is before:
        return after
    return await (city.store.insert(after) if before is None else city.store.replace(after))


async def _opened(city: City, hospital: Hospital, number: str, command: OpenVisit, event: str) -> Visit:
    visit, keys = visit_id(hospital.id, number), PatientKeys(command.document(), command.desk_token)
    patient = await assess_patient(city, hospital, PatientRequest(keys, command.kind, "visit", visit))
    admission, assessment = patient.admission, patient.assessment
    if not assessment.allows_visit:
        raise CannotPayLater(
            zh="该患者本次不能先看病后付费，请按常规方式收费。",
            en="This person cannot pay later for this visit; ask for payment now.",
        )
    now = city.now()
    if command.is_dated:
        check_beginning(command.opened_at, now)
    enrolment, token = admission.enrolment, admission.desk_token
    keep_in_hand(city.store, enrolment)  # the hold or the bill of a short visit changes it next
    document = await patient_document(city, keys, enrolment.id)
    terms = terms_of(city, now)
    exceptional = assessment.standing == "exception"
    return Visit(
        id=visit,
        hospital=hospital.id,
        number=number,
        plain_number=plain_number(number),
        person=enrolment.id,
        id_number=city.encryption.encrypt(str(document), Place.of(Visit, visit, "id_number")),
        desk_token=None if token is None else token.id,
        without_consent=admission.without_consent,
        kind=command.kind,
        settled_by=hospital.settles,
        institution=hospital.institution_code(),
        opened_at=command.opened_at,
        opened_ms=to_ms(command.opened_at),
        created_at=now,
        changed_ms=to_ms(now),
        requested_hold_fen=0 if exceptional else max(command.estimate_fen or 0, terms(OPENING_HOLDS[command.kind])),
        expires_at=now + timedelta(days=terms("hold_days")),
        exceptional=exceptional,
        automatic_debit=enrolment.automatic_debit,
        events=(event,),
        due_ms=to_ms(now + OPENING_TIMEOUT),
    )
