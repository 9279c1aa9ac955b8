"""A visit that was ignored hides no fault of a person with credit, and faults do not reveal who has enrolled."""

import pytest

from tests.integrations.his.desk import allow, hl7, registration
from tests.integrations.his.hl7v2.test_ignored_messages import STRANGER, Ward
from tests.integrations.his.hospital import Hl7System, transaction
from tests.services.medical_credit.scene import Scene


@pytest.fixture
def ward(scene: Scene) -> Ward:
    return Ward(scene)


def faulty(ward: Ward) -> list[str]:
    """Return messages about the visit V1 that have a mistake."""
    return [
        ward.system.registration("V1", class_="Z"),
        ward.system.registration("V1", class_=""),
        ward.system.charge_message("V1", transaction("L1", "5.555")),
        ward.system.visit_message("ADT^A06", "V1", class_="?"),
    ]


def without_document(ward: Ward) -> str:
    return ward.system.message("ADT^A04", "PID|1||P-77^^^HIS^MR||王^小明", f"PV1|1|O{'|' * 17}V1")


def test_a_visit_that_was_ignored_hides_no_mistake_in_messages_of_people_with_credit(ward: Ward) -> None:
    ward.enrols()
    for wrong in (without_document(ward), ward.system.registration("V1", patient=STRANGER)):
        assert ward.send(wrong) == ["AA"]
        assert set(ward.send(*faulty(ward))) <= {"AE", "AR"}
    charge = ward.system.charge_message("V1", transaction("L1", "50.00"))
    assert ward.send(charge, ward.system.registration("V1")) == ["AA", "AA"]
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.total_fen() == 5_000


def test_mistakes_in_messages_about_an_ignored_visit_do_not_reveal_who_has_enrolled(ward: Ward) -> None:
    ward.send(without_document(ward))
    never_enrolled = [ward.reply(message).segment("ERR") for message in faulty(ward)]
    ward.enrols()
    allow(ward.scene, ward.patient)
    restricted = [ward.reply(message).segment("ERR") for message in faulty(ward)]
    assert restricted == never_enrolled


def test_a_mistyped_number_or_desk_token_is_reported_for_an_ignored_visit_as_well(ward: Ward) -> None:
    ward.send(without_document(ward))
    assert ward.send(ward.system.registration("V1", patient="110105194912310021"))[0] in ("AE", "AR")
    assert hl7(ward.scene, registration("", "V1", code="00000000"))[0].startswith("MSA|AE")


def test_a_message_without_a_document_about_an_ignored_visit_is_ignored_with_its_mistakes(ward: Ward) -> None:
    ward.send(without_document(ward))
    pid, pv1 = "PID|1||P-77^^^HIS^MR||王^小明", f"PV1|1|O{'|' * 17}V1"
    assert ward.send(ward.system.message("DFT^P03", pid, pv1, transaction("L1", "5.555"))) == ["AA"]


@pytest.mark.parametrize(
    ("patient", "told"),
    [
        (
            STRANGER,
            "I 204 该患者未使用先看病后付费，消息已接收，不作处理 this patient does not pay later; message ignored",
        ),
        ("", "W 204 PID-3无可识别类型的证件，消息已接收，不作处理 PID-3: no document of a known type; ignored"),
    ],
    ids=["not enrolled", "no document"],
)
def test_before_version_2_5_msa_3_alone_says_that_a_registration_is_ignored(
    ward: Ward, patient: str, told: str
) -> None:
    system = Hl7System(patient=patient)
    reply = ward.reply(system.registration("V1").replace("|P|2.5|", "|P|2.4|"))
    assert (reply.segment("MSA").fields[1], reply.segment("MSA").field(3).text) == ("AA", told)
    assert reply.all("ERR") == ()
    ward.enrols()
    opened = ward.reply(ward.system.registration("V2").replace("|P|2.5|", "|P|2.4|"))
    assert opened.segment("MSA").fields[1::2] == ("AA",)
