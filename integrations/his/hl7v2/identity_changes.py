"""Check merges and renumberings (ADT^A40, A42, A45, A50, ...): is a visit or a person with credit concerned?

The city does not merge people, and a visit keeps its number and its patient: a bill must not move to somebody else
unseen. If both sides are the same person, or the city has nothing of either, there is nothing to do.
"""

from collections.abc import Iterator

from backend.city.id_number import IdentityDocument, InvalidIdNumber, parse_id_number
from backend.city.service import City
from backend.i18n import Text
from backend.services.medical_credit.eligibility import find_person_id
from backend.services.medical_credit.hospital_access import may_use
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Visit, visit_id
from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.event_table import event_of
from integrations.his.hl7v2.identifiers import system_of, with_system
from integrations.his.hl7v2.message import Message, Part, Segment
from integrations.his.hl7v2.trigger_events import identity_documents

_DELETIONS = ("A23", "P02")
"""The events that delete the record of a visit or of an account."""


async def check_identity_change(city: City, hospital: Hospital, message: Message) -> None:
    """Raise Hl7Error 205 if a merge, move or deletion would change the number or the patient of what the city keeps."""
    for part in _former_numbers(message):
        visit = await city.store.get(Visit, visit_id(hospital.id, with_system(part, part.text)))
        if visit is not None and visit.cancelled_at is None:
            raise Hl7Error(
                part.location,
                "205",
                Text(
                    zh=f"{part.location}：该就诊已在本市登记，不能合并、换号或删除；请以ADT^A11取消后重新登记",
                    en=f"{part.location}: this visit is open in the city and cannot be merged, renumbered or deleted; "
                    "cancel it by ADT^A11 and register it again",
                ),
            )
    for patient, merged in _merged_patients(message):
        former, present = identity_documents(merged.field(1)), identity_documents(patient.field(3))
        if former and present and await _are_two_people(city, hospital, former, present):
            location = Location("MRG", merged.sequence, 1)
            raise Hl7Error(
                location,
                "205",
                Text(
                    zh=f"{location}与PID-3的证件属于两个人，本市不合并个人；请以ADT^A11取消登记错误的就诊，再以正确证件登记",
                    en=f"{location} and PID-3 identify two people, and the city does not merge people; cancel the "
                    "visits under the wrong document by ADT^A11 and register them under the right one",
                ),
            )


def _former_numbers(message: Message) -> Iterator[Part]:
    """Yield the visit and account numbers that a message ends: MRG-3 and MRG-5, or PV1-19 and PID-18 of a deletion."""
    present = {(part.text, system_of(part)) for part in _present_numbers(message)}
    for merged in message.all("MRG"):
        former = [part for part in (merged.field(3), merged.field(5)) if part.text]
        yield from (part for part in former if (part.text, system_of(part)) not in present)
    if event_of(message)[1] in _DELETIONS:
        yield from (part for part in _present_numbers(message) if part.text)


def _present_numbers(message: Message) -> list[Part]:
    visits = [segment.field(19) for segment in message.all("PV1")]
    return [*visits, *(segment.field(18) for segment in message.all("PID"))]


def _merged_patients(message: Message) -> Iterator[tuple[Segment, Segment]]:
    """Yield each MRG with the PID that it follows."""
    patient: Segment | None = None
    for segment in message.segments:
        if segment.name == "PID":
            patient = segment
        elif segment.name == "MRG" and patient is not None:
            yield patient, segment


async def _are_two_people(
    city: City, hospital: Hospital, former: list[IdentityDocument], present: list[IdentityDocument]
) -> bool:
    """Return whether no document is on both sides, and one side is a person whose pay later the hospital may use.

    Of anybody else the hospital must not learn whether they have enrolled.
    """
    sides = [{str(number) for one in side if (number := _parsed(city, one))} for side in (former, present)]
    if not all(sides) or sides[0] & sides[1]:
        return False
    people = [{await find_person_id(city, one) for one in side if _parsed(city, one)} for side in (former, present)]
    known = {person for side in people for person in side if person is not None}
    if people[0] & people[1] & known:
        return False
    return any([await may_use(city, hospital, person) for person in known])


def _parsed(city: City, document: IdentityDocument) -> IdentityDocument | None:
    """Return an identity document in its normal form, or None if its number is wrong."""
    try:
        return parse_id_number(document.number, city.today(), kind=document.kind)
    except InvalidIdNumber:
        return None
