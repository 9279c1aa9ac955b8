"""A message about a visit names the visit's patient, or no patient; another person's number is refused."""

import pytest

from tests.integrations.his.hl7v2.receiver_scene import Receiver, at, error
from tests.integrations.his.hospital import Hl7System, transaction

TRIGGERS = (
    "ADT^A01",
    "ADT^A03",
    "ADT^A04",
    "ADT^A08",
    "ADT^A11",
    "ADT^A13",
    "BAR^P01",
    "BAR^P05",
    "BAR^P06",
    "DFT^P03",
)
LINE = transaction("L1", "1.00")


def about(system: Hl7System, trigger: str, patient: str) -> str:
    """Return a message about visit V1 with this PID-3."""
    visit = f"PV1|1|O{'|' * 17}V1"
    return system.message(trigger, f"PID|1||{patient}||王^小明", visit, *([LINE] if trigger == "DFT^P03" else []))


def number_of(patient: str, kind: str = "NI") -> str:
    return f"{patient}^^^CN^{kind}"


@pytest.fixture(params=["open", "closed"])
def visit_state(request: pytest.FixtureRequest, receiver: Receiver) -> str:
    assert receiver.code(receiver.system.registration("V1")) == "AA"
    if request.param == "closed":
        assert receiver.code(receiver.system.visit_message("ADT^A03", "V1")) == "AA"
    return request.param


@pytest.mark.usefixtures("visit_state")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_every_message_with_another_persons_number_is_refused(receiver: Receiver, trigger: str) -> None:
    before = receiver.visit("V1")
    for other in (receiver.new_patient(), receiver.new_person()):
        assert error(receiver.send(about(receiver.system, trigger, number_of(other)))) == ("AR", "205", at("PID", 1, 3))
    assert receiver.visit("V1") == before


@pytest.mark.usefixtures("visit_state")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_every_message_with_the_numbers_of_two_people_is_refused(receiver: Receiver, trigger: str) -> None:
    before, own, other = receiver.visit("V1"), number_of(receiver.system.patient), number_of(receiver.new_patient())
    for both in (f"{own}~{other}", f"{other}~{own}"):
        assert error(receiver.send(about(receiver.system, trigger, both))) == ("AR", "205", at("PID", 1, 3))
    assert receiver.visit("V1") == before


@pytest.mark.usefixtures("visit_state")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_mistyped_number_is_refused(receiver: Receiver, trigger: str) -> None:
    before = receiver.visit("V1")
    mistyped = about(receiver.system, trigger, number_of("110105194912310021"))
    assert error(receiver.send(mistyped)) == ("AR", "204", at("PID", 1, 3))
    assert receiver.visit("V1") == before


@pytest.mark.usefixtures("visit_state")
@pytest.mark.parametrize("trigger", [one for one in TRIGGERS if one not in ("ADT^A01", "ADT^A04")])
def test_a_message_with_the_hospitals_own_number_alone_is_accepted(receiver: Receiver, trigger: str) -> None:
    assert receiver.code(about(receiver.system, trigger, "P-77^^^HIS^MR")) == "AA"


@pytest.mark.usefixtures("visit_state")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_second_document_that_the_city_does_not_know_is_accepted(receiver: Receiver, trigger: str) -> None:
    own = number_of(receiver.system.patient)
    assert receiver.code(about(receiver.system, trigger, f"{number_of('EA1234567', 'PPN')}~{own}")) == "AA"


def test_a_new_visit_of_two_people_is_not_opened(receiver: Receiver) -> None:
    both = f"{number_of(receiver.system.patient)}~{number_of(receiver.new_patient())}"
    assert error(receiver.send(about(receiver.system, "ADT^A04", both))) == ("AR", "205", at("PID", 1, 3))
    assert receiver.visit("V1") is None


def test_a_charge_that_waited_for_a_visit_of_another_person_fails(receiver: Receiver) -> None:
    assert receiver.code(about(receiver.system, "DFT^P03", number_of(receiver.new_patient()))) == "AA"
    assert receiver.code(receiver.system.registration("V1")) == "AA"
    (failed,) = receiver.messages("failed")
    assert "another patient" in (failed.reason or "")
    assert receiver.lines("V1") == {}
