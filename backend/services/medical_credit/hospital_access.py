"""Whether a hospital may use a person's pay later: by their consent, by a desk token, or in an emergency.

A hospital without any of these gets the same answer as for a person who never enrolled. Only for a desk token by which
it opened another visit itself, the answer says that the token is used.
"""

import logging

from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import new_act, with_act
from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.notices import notify
from backend.city.person import document_of, known_person
from backend.city.service import City
from backend.security.identity import Caller
from backend.services.medical_credit.eligibility import Assessment, assess, find_person_id, refresh_enrolment
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.desk_token import (
    DeskToken,
    PatientKeys,
    desk_token_id,
    new_guesses,
)
from backend.services.medical_credit.model.emergency_access import (
    AccessPurpose,
    EmergencyAccess,
    emergency_access_id,
)
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import ACCOUNT_PREFIX, Hospital
from backend.services.medical_credit.model.notices import EMERGENCY_ACCESS
from backend.services.medical_credit.model.problems import DeskTokensRefused, UnknownPatient
from backend.services.medical_credit.model.visit import Visit
from backend.store.time import to_ms
from backend.store.update import create_or_update, insert_or_get, update_document

_log = logging.getLogger("chengma.medical_credit")


class PatientRequest(Struct, frozen=True):
    """A hospital's request for a patient: whether they may pay later (`eligibility`), or to open a `visit`.

    `about` is the id of the answer or of the visit.
    """

    keys: PatientKeys
    kind: VisitKind
    purpose: AccessPurpose
    about: str

    @property
    def visit(self) -> str | None:
        """The id of the visit that is to be opened, or None."""
        return self.about if self.purpose == "visit" else None


class Admission(Struct, frozen=True):
    """An enrolment that a hospital may use: by consent, by the `desk_token`, or `without_consent` in an emergency."""

    enrolment: Enrolment
    desk_token: DeskToken | None = None
    without_consent: bool = False


class AssessedPatient(Struct, frozen=True):
    """A patient whose pay later a hospital may use, and whether they may pay later now."""

    admission: Admission
    assessment: Assessment


async def assess_patient(city: City, hospital: Hospital, request: PatientRequest) -> AssessedPatient:
    """Return the enrolment of the patient of a request, and whether they may pay later now.

    Raises InvalidIdNumber, DeskTokensRefused, or UnknownPatient if the person or the enrolment is missing or the
    hospital may not use it.
    """
    now = city.now()
    admission = await _admit(city, hospital, request)
    enrolment, token = await refresh_enrolment(city, admission.enrolment, now), admission.desk_token
    assessment = await assess(city, enrolment, request.kind, now)
    if token is not None and (request.visit is None or assessment.allows_visit):
        await _use(city, token, hospital, request)
    return AssessedPatient(replace(admission, enrolment=enrolment), assessment)


async def eligible_fen(city: City, hospital: Hospital, request: PatientRequest) -> int | None:
    """Answer a hospital's eligibility request: up to which amount a person may pay later now, None if they may not.

    A person who is unknown, not enrolled or not eligible gets the same answer, and so does one who has not allowed the
    hospital. Raises InvalidIdNumber or DeskTokensRefused.
    """
    assert hospital.enabled, "requests of disabled hospitals are refused earlier"
    try:
        assessment = (await assess_patient(city, hospital, request)).assessment
    except UnknownPatient:
        return None
    return assessment.available_fen if assessment.allows_visit else None


async def may_use(city: City, hospital: Hospital, person: str | None) -> bool:
    """Return whether a person is enrolled and lets a hospital use their pay later without a desk token."""
    enrolment = await _open_enrolment(city, person)
    return enrolment is not None and enrolment.allows(hospital.id)


async def patient_document(city: City, keys: PatientKeys, person: str) -> IdentityDocument:
    """Return the identity document under which a visit is opened: the one that was sent, or else the person's own."""
    if keys.document is not None:
        return parse_id_number(keys.document.number, city.today(), kind=keys.document.kind)
    return document_of(city.encryption, await known_person(city.store, person))


async def _admit(city: City, hospital: Hospital, request: PatientRequest) -> Admission:
    """Return the enrolment that a hospital may use. Raises UnknownPatient, InvalidIdNumber or DeskTokensRefused."""
    document = request.keys.document
    person = None if document is None else await find_person_id(city, document)
    enrolment = await _open_enrolment(city, person)
    if enrolment is not None and enrolment.allows(hospital.id):
        return Admission(enrolment)
    repeated = await _repeated_opening(city, request, person)
    if repeated is not None:
        return repeated
    token = await _valid_token(city, hospital, request, person)
    holder = None if token is None else await _open_enrolment(city, token.person)
    if holder is not None:
        _count(city, "desk_token", "admitted")
        return Admission(holder, token)
    if enrolment is not None and request.kind == "emergency":
        await _record_emergency(city, hospital, request, enrolment.id)
        return Admission(enrolment, without_consent=True)
    _count(city, "consent", "refused")
    raise await _refusal(city, hospital, request)


async def _refusal(city: City, hospital: Hospital, request: PatientRequest) -> UnknownPatient:
    """Return the Problem for a hospital that may not use the enrolment of a patient, if there is one."""
    code = request.keys.desk_token
    token = None if code is None else await city.store.get(DeskToken, desk_token_id(city.encryption, code))
    is_used = token is not None and token.is_used_at(hospital.id, request.visit)
    return _used_desk_token() if is_used else unknown_patient()


async def _repeated_opening(city: City, request: PatientRequest, person: str | None) -> Admission | None:
    """Return the enrolment of a visit that is open already, which stays valid when the consent is withdrawn."""
    visit = None if request.visit is None else await city.store.get(Visit, request.visit)
    if visit is None:
        return None
    code = request.keys.desk_token
    opened_with = code is not None and visit.desk_token == desk_token_id(city.encryption, code)
    is_patient = person == visit.person if request.keys.document is not None else opened_with
    enrolment = await _open_enrolment(city, visit.person) if is_patient else None
    return None if enrolment is None else Admission(enrolment)


async def _open_enrolment(city: City, person: str | None) -> Enrolment | None:
    enrolment = None if person is None else await city.store.get(Enrolment, person)
    return None if enrolment is None or enrolment.closed_at is not None else enrolment


async def _valid_token(city: City, hospital: Hospital, request: PatientRequest, person: str | None) -> DeskToken | None:
    """Return the desk token of a request if it is right. Raises DeskTokensRefused, except in an emergency."""
    code, document, now = request.keys.desk_token, request.keys.document, city.now()
    if code is None:
        return None
    guesses = new_guesses(city.encryption, hospital.id, document, now)
    try:
        for one in guesses:  # counted before the look, so that codes presented at once do not exceed the limit
            await create_or_update(city.store, one, lambda known: known.counted(now))
    except DeskTokensRefused:
        _log.warning("hospital %s presented too many wrong desk tokens", hospital.id)
        _count(city, "desk_token", "exhausted")
        if request.kind == "emergency":
            return None
        raise
    token = await city.store.get(DeskToken, desk_token_id(city.encryption, code))
    is_right = token is not None and token.is_valid_for(hospital.id, request.visit, now)
    if token is None or not is_right or (document is not None and token.person != person):
        _count(city, "desk_token", "refused")
        return None
    for one in guesses:
        await create_or_update(city.store, one, lambda known: known.taken_back())
    return token


async def _use(city: City, token: DeskToken, hospital: Hospital, request: PatientRequest) -> None:
    """Bind a token to the hospital and the visit. Raises UnknownPatient if another one was faster."""

    def use(known: DeskToken) -> DeskToken:
        if not known.is_valid_for(hospital.id, request.visit, city.now()):
            raise _used_desk_token() if known.is_used_at(hospital.id, request.visit) else unknown_patient()
        return known.used_by(hospital.id, request.visit)

    used = await update_document(city.store, lambda: city.store.get(DeskToken, token.id), use, token)
    if used is None:
        raise unknown_patient()


async def _record_emergency(city: City, hospital: Hospital, request: PatientRequest, person: str) -> None:
    """Record that a hospital used pay later without consent, and tell the person, before it gets an answer."""
    now = city.now()
    caller = Caller(f"{ACCOUNT_PREFIX}{hospital.id}", "")
    act = new_act(city, caller, "hospital", "medical_credit.emergency_access", request.about, person=person)
    access = EmergencyAccess(
        id=emergency_access_id(hospital.id, person, request.about),
        hospital=hospital.id,
        person=person,
        purpose=request.purpose,
        about=request.about,
        at_ms=to_ms(now),
    )
    await insert_or_get(city.store, with_act(access, act))
    await notify(city, person, f"emergency-accesses/{hospital.id}/{city.today()}", EMERGENCY_ACCESS)
    _count(city, "emergency", "admitted")


def _count(city: City, rule: str, result: str) -> None:
    city.decision_counts["medical_credit.hospital_access", rule, result] += 1


def unknown_patient() -> UnknownPatient:
    """Return the Problem for a patient who is unknown, not enrolled, or has not allowed the hospital."""
    return UnknownPatient(
        zh="该患者未开通先看病后付费，或未授权本院。患者可出示就诊授权码。",
        en="This person is not enrolled in pay later, or has not allowed this hospital. They can show a desk token.",
    )


def _used_desk_token() -> UnknownPatient:
    """Return the Problem for a desk token by which the same hospital has opened another visit."""
    return UnknownPatient(
        zh="该就诊授权码已在本院用于另一次就诊，请患者出示新的授权码。",
        en="This desk token was already used for another visit at this hospital. Ask the patient for a new one.",
    )
