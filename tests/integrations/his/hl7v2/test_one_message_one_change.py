"""A message changes its visit as a whole or not at all, and its answer says whether to send it again."""

import pytest

from backend.services.medical_credit.model.hospital import RefusalPolicy
from tests.integrations.his.hl7v2.receiver_scene import Receiver, acknowledgement, at, error
from tests.integrations.his.hospital import transaction

GOOD = [transaction("L1", "20.00"), transaction("L2", "5.00")]
REFUSED = {
    "more is credited than charged": transaction("X", "99.00", "CD", of="L0"),
    "more is taken off than charged": transaction("X", "-99.00", "AJ", of="L0"),
    "a line has other contents": transaction("L0", "11.00"),
    "a payment has another amount": transaction("P0", "2.00", "PY"),
    "an amount is wrong": transaction("X", "1.005"),
    "a date is wrong": transaction("X", "1.00").replace("20261124093000+0800", "19000101"),
    "a code is missing": transaction("X", "1.00", code=""),
    "a type is unknown": transaction("X", "1.00", "XX"),
}


def opened(receiver: Receiver, visit: str = "V1") -> str:
    """Open a visit with a line and a payment at the counter."""
    first = receiver.system.charge_message(visit, transaction("L0", "10.00"), transaction("P0", "1.00", "PY"))
    assert [receiver.code(receiver.system.registration(visit)), receiver.code(first)] == ["AA", "AA"]
    return visit


def test_a_message_with_a_refused_line_changes_nothing(receiver_on_either_store: Receiver) -> None:
    receiver = receiver_on_either_store
    receiver.send(receiver.system.registration("V1"))
    lines = transaction("A1", "20.00"), transaction("A2", "99.00", "CD", of="A1")
    refused = receiver.send(receiver.system.charge_message("V1", *lines))
    assert error(refused) == ("AR", "102", at("FT1", 2, 11))
    assert receiver.lines("V1") == {}
    corrected = transaction("B1", "20.00"), transaction("B2", "9.00", "CD", of="B1")
    assert receiver.code(receiver.system.charge_message("V1", *corrected)) == "AA"
    assert receiver.lines("V1") == {"B1": 2_000, "B2": -900}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_refused_line_leaves_nothing_wherever_it_is(receiver: Receiver, fault: str) -> None:
    visit = opened(receiver)
    before = receiver.visit(visit)
    for place in range(3):
        lines = [*GOOD[:place], REFUSED[fault], *GOOD[place:]]
        assert receiver.code(receiver.system.charge_message(visit, *lines)) == "AR"
        assert receiver.visit(visit) == before


def test_a_message_waits_as_a_whole(receiver: Receiver) -> None:
    visit = opened(receiver)
    early = receiver.send(
        receiver.system.charge_message(visit, transaction("L1", "20.00"), transaction("C1", "1.00", "CD", of="L9"))
    )
    assert acknowledgement(early) == "AA"
    assert early.segment("ERR").field(4).text == "W"
    assert receiver.lines(visit) == {"L0": 1_000}
    assert receiver.code(receiver.system.charge_message(visit, transaction("L9", "3.00"))) == "AA"
    assert receiver.lines(visit) == {"L0": 1_000, "L9": 300, "L1": 2_000, "C1": -100}


def test_a_credit_may_precede_its_charge_in_the_same_message(receiver: Receiver) -> None:
    visit = opened(receiver)
    lines = transaction("C1", "1.00", "CD", of="L1"), transaction("L1", "3.00")
    assert receiver.code(receiver.system.charge_message(visit, *lines)) == "AA"
    assert receiver.lines(visit) == {"L0": 1_000, "L1": 300, "C1": -100}


def test_lines_that_repeat_each_other_within_a_message_are_one(receiver: Receiver) -> None:
    visit = opened(receiver)
    assert receiver.code(receiver.system.charge_message(visit, GOOD[0], GOOD[0])) == "AA"
    assert receiver.lines(visit) == {"L0": 1_000, "L1": 2_000}


# ── AE or AR ──

POLICIES: dict[RefusalPolicy, tuple[str, str]] = {
    "by_cause": ("AR", "AE"),
    "reversed": ("AE", "AR"),
    "AE": ("AE", "AE"),
    "AR": ("AR", "AR"),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_hospital_chooses_the_codes_for_never_and_for_later(receiver: Receiver, policy: RefusalPolicy) -> None:
    visit = opened(receiver)
    receiver.refuses_with(policy)
    stranger = receiver.system.registration("V2", patient=receiver.new_person())
    never = receiver.system.charge_message(visit, transaction("X", "1.005"))
    header = receiver.system.visit_message("ADT^A99", visit)
    codes = receiver.code(never), receiver.code(header), receiver.code(stranger)
    assert codes == (POLICIES[policy][0], *POLICIES[policy])


def test_in_enhanced_mode_a_message_that_is_not_stored_gets_cr_or_ce(receiver: Receiver) -> None:
    unsupported = receiver.system.visit_message("ADT^A99", "V1", acknowledgement="AL|AL")
    assert receiver.code(unsupported) == "CR"
    receiver.refuses_with("AE")
    assert receiver.code(unsupported) == "CE"


def test_a_message_that_was_refused_for_now_is_accepted_when_it_is_repeated(receiver: Receiver) -> None:
    person = receiver.new_person()
    message = receiver.system.registration("V1", patient=person)
    first = receiver.replies(message)
    assert receiver.replies(message) == first
    receiver.enrol(person)
    assert receiver.code(message) == "AA"
    assert receiver.replies(message) == receiver.replies(message)
    assert receiver.visit("V1") is not None


def test_a_message_that_an_operator_retried_gets_aa_when_it_is_repeated(receiver: Receiver) -> None:
    person = receiver.new_person()
    message = receiver.system.registration("V1", patient=person)
    assert receiver.code(message) == "AE"
    receiver.enrol(person)
    (failed,) = receiver.messages("failed")
    assert receiver.retry(failed.id) == "done"
    assert receiver.code(message) == "AA"
