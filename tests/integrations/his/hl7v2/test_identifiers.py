"""Patients are identified by the type of a document or by the OID of its issuer."""

import pytest

from backend.services.medical_credit.model.visit import visit_id
from integrations.his.hl7v2.identifiers import document_kind, system_of
from integrations.his.hl7v2.message import Part, parse_text
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import Hl7System, connect, enrol, transaction


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


# systems of visits and lines


def in_system(message: str, visit: str, authority: str) -> str:
    """Return a message whose visit number has an assigning authority."""
    return message.replace(f"|{visit}\r", f"|{visit}^^^{authority}\r")


def test_one_number_of_two_assigning_authorities_is_two_visits(receiving: ReceivingCity) -> None:
    system = Hl7System()
    for authority, amount in (("&2.16.156.10011.1.11&ISO", "1.00"), ("&2.16.156.10011.1.12&ISO", "2.00")):
        assert receiving.code(in_system(system.registration("N1"), "N1", authority)) == "AA"
        charge = system.charge_message("N1", transaction("L1", amount))
        assert receiving.code(in_system(charge, "N1", authority)) == "AA"
    assert receiving.lines("urn:oid:2.16.156.10011.1.11|N1") == [("L1", 100)]
    assert receiving.lines("urn:oid:2.16.156.10011.1.12|N1") == [("L1", 200)]


def test_fhir_and_hl7_find_the_visit_of_a_system_under_one_id(receiving: ReceivingCity) -> None:
    assert receiving.code(in_system(Hl7System().registration("N2"), "N2", "&2.16.156.10011.1.11&ISO")) == "AA"
    number = "urn:oid:2.16.156.10011.1.11|N2"
    assert receiving.visit(number).id == visit_id("HZ001", "N2", "urn:oid:2.16.156.10011.1.11")


@pytest.mark.parametrize("authority", ["HZ001", "urn:chengma:hospital:HZ001:visit"])
def test_a_number_of_the_hospital_itself_is_the_same_with_and_without_its_authority(
    receiving: ReceivingCity, authority: str
) -> None:
    system, visit = Hl7System(), f"N3-{len(authority)}"
    assert receiving.code(system.registration(visit)) == "AA"
    charge = system.charge_message(visit, transaction("L1", "1.00"))
    assert receiving.code(in_system(charge, visit, authority)) == "AA"
    assert receiving.lines(visit) == [("L1", 100)]


def test_a_hospital_may_have_systems_of_its_own(receiving: ReceivingCity) -> None:
    receiving.run(lambda: connect(receiving.city, "HZ007", own_systems=("HIS",)))
    system = Hl7System("HZ007")
    assert receiving.code(in_system(system.registration("N4"), "N4", "HIS")) == "AA"
    assert receiving.visit("N4").hospital == "HZ007"


def test_one_number_of_two_systems_is_two_lines(receiving: ReceivingCity) -> None:
    system = Hl7System()
    lines = [transaction("L1^^^LAB", "1.00"), transaction("L1", "2.00"), transaction("R1", "1.00", "CD", of="L1^^^LAB")]
    assert receiving.code(system.registration("N5")) == "AA"
    assert receiving.code(system.charge_message("N5", *lines)) == "AA"
    assert [(line.id, line.of) for line in receiving.visit("N5").lines] == [
        ("LAB|L1", None),
        ("L1", None),
        ("R1", "LAB|L1"),
    ]


def test_an_assigning_authority_of_any_length_is_refused(receiving: ReceivingCity) -> None:
    answer = receiving.answer(in_system(Hl7System().registration("N6"), "N6", "X" * 201))
    assert answer.segment("ERR").field(2).raw == "PV1^1^19^1^4"
