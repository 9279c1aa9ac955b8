"""Patients are identified by the type of a document or by the OID of its issuer."""

import pytest

from integrations.his.hl7v2.identifiers import document_kind, system_of
from integrations.his.hl7v2.message import Part, parse_text
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import Hl7System, enrol


def identifier(text: str) -> Part:
    message = parse_text(f"MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5\rPID|1||{text}")
    return message.segment("PID").field(3).repetition(1)


@pytest.mark.parametrize(
    "authority",
    [
        "&2.16.156.10011.1.3&ISO",
        "SFZ&2.16.156.10011.1.3&ISO",
        "2.16.156.10011.1.3",
        "urn:oid:2.16.156.10011.1.3",
        "&urn:oid:2.16.156.10011.1.3&URI",
        "&2.16.156.10011.1.3",
    ],
)
def test_a_resident_card_is_known_by_its_oid_alone(receiving: ReceivingCity, authority: str) -> None:
    system = Hl7System()
    visit = f"I{abs(hash(authority))}"
    message = system.registration(visit).replace("^^^CN^NI", f"^^^{authority}")
    assert receiving.code(message) == "AA"
    assert receiving.visit(visit).number == visit


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("EA1234567^^^&2.16.840.1.113883.4.330.840&ISO", "passport"),
        ("EA1234567^^^&http://hl7.org/fhir/sid/passport-USA&URI", "passport"),
        ("01234567^^^&2.16.156.10011.1.3&ISO^07", "taiwan_travel_permit"),
        ("00012345^^^&2.16.156.10011.1.12&ISO", None),
        ("A00000019^^^&2.16.156.10011.1.19&ISO", None),
        ("P-77^^^HIS^MR", None),
        ("330106199003070022", None),
    ],
)
def test_the_type_of_a_document_precedes_its_issuer_and_other_numbers_are_none(text: str, kind: str | None) -> None:
    assert document_kind(identifier(text)) == kind


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("V1", ""),
        ("V1^^^HIS", "HIS"),
        ("V1^^^HIS&2.16.156.10011.1.11&ISO", "urn:oid:2.16.156.10011.1.11"),
        ("V1^^^&6ba7b810-9dad-11d1-80b4-00c04fd430c8&UUID", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("V1^^^&http://his.example/visits&URI", "http://his.example/visits"),
    ],
)
def test_an_assigning_authority_is_the_system_that_fhir_names(text: str, system: str) -> None:
    assert system_of(identifier(text)) == system


@pytest.mark.parametrize(
    "number",
    ["330106196603100113", "33010219500505011X", "330110199901010114", "830000198501010110", "810000198501010117"],
)
def test_a_patient_born_before_their_division_was_founded_or_with_a_residence_permit_is_registered(
    receiving: ReceivingCity, number: str
) -> None:
    receiving.run(lambda: enrol(receiving.city, number))
    assert receiving.code(Hl7System(patient=number).registration(f"R{number}")) == "AA"


@pytest.mark.parametrize("typed", ["330106 19900307 0022", "３３０１０６１９９００３０７００２２"])
def test_a_number_is_read_as_people_type_it(receiving: ReceivingCity, typed: str) -> None:
    number = "330106199003070022"
    if typed.isascii():
        receiving.run(lambda: enrol(receiving.city, number))
    assert receiving.code(Hl7System(patient=typed).registration(f"T{len(typed)}")) == "AA"
