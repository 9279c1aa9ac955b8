"""Messages that are accepted and ignored: events without effect, and people who may not pay later, until they enrol."""

import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.city.service import Subject
from backend.services.medical_credit import tasks
from backend.services.medical_credit.model.enrolment import AGREEMENT, Enrolment
from backend.services.medical_credit.model.hospital import HisMessage, Hospital
from backend.services.medical_credit.model.visit import Visit, visit_id
from integrations.his.hl7v2.message import Message, parse_message
from integrations.his.hl7v2.message_receiver import Hl7Inbox
from tests.integrations.his.desk import allow, hl7, registration
from tests.integrations.his.hospital import Hl7System, last_reply, transaction
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import FACTS, Patient, Scene

STRANGER = "11010519491231002X"


class Ward:
    """A hospital that sends everybody, and its patient, who has not enrolled."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.patient = scene.citizen("13800000171")
        self.system = Hl7System(patient=self.patient.id_number)
        self.change(people_without_credit="ignore")

    def change(self, **settings: object) -> None:
        known = self.scene.call(self.scene.city.store.get, Hospital, "HZ001")
        self.scene.call(self.scene.city.store.replace, replace(known, **settings))

    def reply(self, text: str) -> Message:
        self.scene.clock.now += timedelta(seconds=1)
        return parse_message(self.scene.call(last_reply, self.scene.city, text).encode(), "utf-8")

    def send(self, *messages: str) -> list[str]:
        return [self.reply(message).segment("MSA").field(1).text for message in messages]

    def stored(self) -> list[HisMessage]:
        async def read() -> list[HisMessage]:
            found: AsyncIterator[HisMessage] = self.scene.city.store.scan(HisMessage)
            return sorted([one async for one in found], key=lambda one: (one.received_ms, one.control_id))

        return self.scene.call(read)

    def states(self) -> list[str]:
        return [one.state for one in self.stored()]

    def visit(self, number: str) -> Visit | None:
        return self.scene.call(self.scene.city.store.get, Visit, visit_id("HZ001", number))

    def enrols(self, patient: Patient | None = None) -> None:
        assert self.scene.open_credit(patient or self.patient).status_code == 201
        self.scene.call(tasks.process_ignored_messages, self.scene.city, (patient or self.patient).id)


def enrolment(patient: Patient, now: datetime) -> Enrolment:
    """Return the enrolment of a patient, of which no job in the background learns."""
    return Enrolment(
        id=patient.id, agreement=AGREEMENT, consented_at=now, automatic_debit=False, facts=FACTS, facts_at=now
    )


@pytest.fixture
def ward(scene: Scene) -> Ward:
    return Ward(scene)


# ── events ──


UNUSED = ["ADT^A02", "ADT^A05", "ADT^A12", "ADT^A28", "ADT^A31", "ADT^A40", "ADT^A47", "ADT^A60", "BAR^P12", "SIU^S12"]


def test_an_event_without_effect_is_accepted_and_ignored(ward: Ward) -> None:
    messages = [ward.system.message(event, "PID|1||P-77^^^HIS^MR||王^小明") for event in UNUSED]
    assert ward.send(*messages) == ["AA"] * len(UNUSED)
    assert all((one.state, one.due_ms) == ("ignored", None) and one.reason for one in ward.stored())


def test_a_hospital_may_have_such_events_refused(ward: Ward) -> None:
    ward.change(unused_events="refuse")
    reply = ward.reply(ward.system.message("ADT^A31", "PID|1||P-77^^^HIS^MR||王^小明"))
    assert reply.segment("MSA").field(1).text == "AR"
    assert reply.segment("ERR").field(2).raw == "MSH^1^9^1^2"


def test_a_query_or_an_unknown_event_is_refused(ward: Ward) -> None:
    for event in ("ADT^A19", "ADT^A77", "QBP^Q11", "DFT^P99", "ZZZ^Z01"):
        assert ward.send(ward.system.message(event, "PID|1||P-77^^^HIS^MR||王^小明")) == ["AR"], event


def test_a_result_is_kept_and_acknowledged(ward: Ward) -> None:
    assert ward.send(ward.system.message("ORU^R01", "PID|1||P-77^^^HIS^MR||王^小明", "OBR|1", "OBX|1|ST|x||y")) == [
        "AA"
    ]
    assert ward.states() == ["done"]


def test_a_repeated_ignored_message_gets_the_same_answer(ward: Ward) -> None:
    message = ward.system.registration("V1")
    assert ward.reply(message) == ward.reply(message)


# ── merges ──


def merge(ward: Ward, patient: str, merged: str, event: str = "ADT^A40", visit: str = "") -> str:
    pid, mrg = f"PID|1||{patient}^^^CN^NI||王^小明", f"MRG|{merged}"
    return ward.system.message(event, pid, f"{mrg}||||{visit}" if visit else mrg)


def test_merging_numbers_of_one_person_does_nothing(ward: Ward) -> None:
    ward.enrols()
    number = ward.patient.id_number
    assert ward.send(merge(ward, number, f"P-12^^^HIS^MR~{number}^^^CN^NI")) == ["AA"]
    assert ward.send(merge(ward, number, "P-12^^^HIS^MR")) == ["AA"]


def test_merging_two_people_is_refused_with_a_sentence(ward: Ward) -> None:
    ward.enrols()
    reply = ward.reply(merge(ward, ward.patient.id_number, f"{STRANGER}^^^CN^NI"))
    assert reply.segment("MSA").field(1).text in ("AE", "AR")
    assert "does not merge people" in reply.segment("ERR").field(8).text


def test_merging_people_without_credit_is_ignored(ward: Ward) -> None:
    assert ward.send(merge(ward, ward.patient.id_number, f"{STRANGER}^^^CN^NI")) == ["AA"]


def test_the_number_of_an_open_visit_cannot_change(ward: Ward) -> None:
    ward.enrols()
    assert ward.send(ward.system.registration("V1")) == ["AA"]
    number = ward.patient.id_number
    for event in ("ADT^A42", "ADT^A45", "ADT^A50"):
        assert ward.send(merge(ward, number, "P-1^^^HIS^MR", event, "V1"))[0] in ("AE", "AR"), event
        assert ward.send(merge(ward, number, "P-1^^^HIS^MR", event, "V9")) == ["AA"], event


# ── people without credit ──


def test_nothing_of_a_person_without_credit_waits_or_fails(ward: Ward) -> None:
    journey = [
        ward.system.registration("V1"),
        ward.system.charge_message("V1", transaction("L1", "50.00")),
        ward.system.visit_message("ADT^A08", "V1"),
        ward.system.visit_message("BAR^P01", "V1"),
        ward.system.visit_message("ADT^A06", "V1", class_="I"),
        ward.system.visit_message("ADT^A03", "V1"),
        ward.system.visit_message("BAR^P06", "V1"),
        ward.system.visit_message("ADT^A11", "V1"),
    ]
    assert ward.send(*journey) == ["AA"] * len(journey)
    assert set(ward.states()) == {"ignored"}
    assert not [one for one in ward.stored() if one.due_ms is not None]


def test_the_answer_says_that_the_message_was_ignored(ward: Ward) -> None:
    error = ward.reply(ward.system.registration("V1")).segment("ERR")
    assert (error.field(2).raw, error.field(4).text) == ("PID^1^3", "I")


def test_a_charge_before_the_registration_is_ignored_as_well(ward: Ward) -> None:
    assert ward.send(ward.system.charge_message("V1", transaction("L1", "50.00"))) == ["AA"]
    assert ward.states() == ["ignored"]


def test_a_person_who_may_not_pay_later_now_is_treated_alike(ward: Ward) -> None:
    ward.enrols()
    ward.scene.billed(ward.patient, 20_000, number="V0")
    ward.scene.clock.now += timedelta(days=90)
    early = ward.system.charge_message("V1", transaction("L1", "50.00"))
    assert ward.send(early) == ["AA"]
    assert ward.send(ward.system.registration("V1")) == ["AA"]
    assert ward.states() == ["ignored", "ignored"]


def test_a_patient_without_any_document_is_ignored(ward: Ward) -> None:
    without = ["PID|1||P-77^^^HIS^MR||无名", f"PV1|1|E{'|' * 17}V1"]
    error = ward.reply(ward.system.message("ADT^A04", *without)).segment("ERR")
    assert "no document of a known type" in error.field(8).text
    assert error.field(4).text == "W"
    charged = ward.system.message("DFT^P03", *without, transaction("L1", "50.00"))
    assert ward.send(charged) == ["AA"]
    assert ward.states() == ["ignored", "ignored"]


def test_a_mistyped_number_is_reported(ward: Ward) -> None:
    assert ward.send(ward.system.registration("V1", patient="110105194912310021"))[0] in ("AE", "AR")


def test_faults_in_messages_of_people_with_credit_are_reported(ward: Ward) -> None:
    ward.enrols()
    assert ward.send(ward.system.registration("V1", class_="Z"))[0] in ("AE", "AR")
    assert ward.send(ward.system.registration("V1")) == ["AA"]
    assert ward.send(ward.system.charge_message("V1", transaction("L1", "1.005")))[0] in ("AE", "AR")


def test_a_hospital_may_have_people_without_credit_refused(ward: Ward) -> None:
    ward.change(people_without_credit="refuse")
    assert ward.send(ward.system.registration("V1"))[0] in ("AE", "AR")
    assert ward.send(ward.system.charge_message("V1", transaction("L1", "50.00"))) == ["AA"]
    assert ward.states() == ["failed", "waiting"]


# ── people who enrol during their visit ──


def test_what_was_ignored_is_processed_once_the_patient_enrols(ward: Ward) -> None:
    ward.send(
        ward.system.charge_message("V1", transaction("L1", "50.00")),
        ward.system.registration("V1"),
        ward.system.charge_message("V1", transaction("L2", "12.34")),
    )
    ward.enrols()
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.total_fen() == 6_234
    assert ward.states() == ["done"] * 3
    ward.enrols()
    assert ward.visit("V1") == visit


def test_enrolment_alone_suffices_within_minutes(ward: Ward) -> None:
    ward.send(ward.system.registration("V1"))
    assert ward.scene.open_credit(ward.patient).status_code == 201
    for _ in range(2):
        ward.scene.clock.now += timedelta(minutes=2)
        ward.scene.call(tasks.sweep_consents, ward.scene.city)
        ward.scene.client.get("/v1/me/visits", headers=ward.patient)
    ward.scene.call(tasks.process_ignored_messages, ward.scene.city, ward.patient.id)
    assert ward.visit("V1") is not None


def test_charges_after_the_enrolment_join_those_before(ward: Ward) -> None:
    ward.send(ward.system.registration("V1"), ward.system.charge_message("V1", transaction("L1", "50.00")))
    ward.enrols()
    credit = ward.system.charge_message("V1", transaction("C1", "10.00", "CD", of="L1"))
    assert ward.send(credit, ward.system.visit_message("BAR^P06", "V1")) == ["AA", "AA"]
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.total_fen() == 4_000


def test_a_visit_that_is_over_stays_ignored(ward: Ward) -> None:
    for closing in ("ADT^A03", "BAR^P06", "ADT^A11"):
        ward.send(ward.system.registration(closing), ward.system.visit_message(closing, closing))
    ward.enrols()
    assert set(ward.states()) == {"ignored"}


def test_a_visit_whose_discharge_was_cancelled_is_open(ward: Ward) -> None:
    for trigger in ("ADT^A04", "ADT^A03", "ADT^A13"):
        ward.send(ward.system.visit_message(trigger, "V1"))
    ward.enrols()
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.closed_at is None


def test_an_old_registration_is_no_open_visit_but_a_stay_is(ward: Ward) -> None:
    for class_ in "OEI":
        ward.send(ward.system.registration(f"V-{class_}", class_=class_))
    ward.scene.clock.now += timedelta(days=4)
    ward.enrols()
    assert [ward.visit(f"V-{class_}") is not None for class_ in "OEI"] == [False, False, True]


def test_visits_of_others_stay_ignored(ward: Ward) -> None:
    ward.send(ward.system.registration("V2", patient=STRANGER))
    ward.enrols()
    assert ward.visit("V2") is None


def test_a_second_registration_brings_the_charges_that_were_ignored(ward: Ward) -> None:
    ward.enrols()
    ward.scene.billed(ward.patient, 20_000, number="V0")
    due = ward.scene.clock.now
    ward.scene.clock.now += timedelta(days=90)
    ward.send(ward.system.registration("V1"), ward.system.charge_message("V1", transaction("L1", "50.00")))
    assert ward.states() == ["ignored", "ignored"]
    ward.scene.clock.now = due
    assert ward.send(ward.system.registration("V1")) == ["AA"]
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.total_fen() == 5_000


def test_enrolment_is_applied_once_wherever_the_process_is_killed(ward: Ward) -> None:
    numbers, kills = itertools.count(1), 0
    for after in (False, True):
        for writes in range(6):
            visit = f"K{next(numbers)}"
            patient = ward.scene.citizen(f"1380000{2000 + next(numbers)}")
            system = Hl7System(patient=patient.id_number)
            ward.send(system.registration(visit), system.charge_message(visit, transaction("L1", "50.00")))
            ward.scene.call(ward.scene.city.store.insert, enrolment(patient, ward.scene.clock.now))
            store = KillingStore(ward.scene.city.store)
            store.countdown, store.after = writes, after
            city = replace(ward.scene.city, store=store)

            async def process(city: object = city, person: str = patient.id) -> None:
                try:
                    await Hl7Inbox().process_ignored(city, person)  # type: ignore[arg-type]
                except Killed:
                    return

            ward.scene.call(process)
            kills += store.kills
            ward.scene.clock.now += timedelta(minutes=3)
            ward.scene.call(tasks.process_ignored_messages, ward.scene.city, patient.id)
            found = ward.visit(visit)
            assert found is not None
            assert found.total_fen() == 5_000
            assert len(found.lines) == 1
    assert kills >= 8, "opening, charge, and the state of each message, before and after"


def test_messages_of_a_person_are_found_for_their_export(ward: Ward) -> None:
    ward.send(ward.system.registration("V1"))

    async def exported() -> list[str]:
        records = next(
            one
            for one in ward.scene.city.personal_data["medical_credit"].records  # type: ignore[attr-defined]
            if one.kind is HisMessage
        )
        return [one.kind async for one in records.find(ward.scene.city, Subject("account", ward.patient.id))]

    assert ward.scene.call(exported) == ["ADT^A04"]


# ── codes of a hospital ──


def test_a_hospital_maps_its_own_classes_and_identifier_types(ward: Ward) -> None:
    ward.enrols()
    ward.change(visit_classes={"门": "outpatient"}, identifier_types={"01": "resident_identity_card"})
    pid = f"PID|1||{ward.patient.id_number}^^^CN^01||王^小明"
    assert ward.send(ward.system.message("ADT^A04", pid, f"PV1|1|门{'|' * 17}V1")) == ["AA"]
    visit = ward.visit("V1")
    assert visit is not None
    assert (visit.kind, visit.person) == ("outpatient", ward.patient.id)


def test_an_emergency_patient_is_admitted_under_the_same_number(ward: Ward) -> None:
    ward.enrols()
    for trigger, class_ in (("ADT^A04", "E"), ("ADT^A06", "I"), ("ADT^A08", "I"), ("ADT^A07", "O"), ("ADT^A01", "I")):
        assert ward.send(ward.system.visit_message(trigger, "V1", class_=class_)) == ["AA"], trigger
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.kind == "inpatient"


# ── desk tokens and emergencies ──


def test_a_wrong_desk_token_is_reported_whoever_it_is_for(ward: Ward) -> None:
    ward.enrols()
    allow(ward.scene, ward.patient)
    answers = [
        [line.split("|")[1:5:3] for line in hl7(ward.scene, registration(patient, visit, code="00000000"))]
        for visit, patient in (("V1", ward.patient.id_number), ("V2", STRANGER), ("V3", ""))
    ]
    assert answers == [[["AE"], ["", "E"]]] * 3


def test_an_emergency_without_consent_becomes_inpatient_once_the_patient_allows_the_hospital(ward: Ward) -> None:
    ward.enrols()
    allow(ward.scene, ward.patient)
    assert ward.send(ward.system.registration("V1", class_="E")) == ["AA"]
    admission = ward.system.visit_message("ADT^A06", "V1", class_="I")
    assert ward.send(admission) == ["AE"]
    allow(ward.scene, ward.patient, "HZ001")
    assert ward.send(admission) == ["AA"]
    visit = ward.visit("V1")
    assert visit is not None
    assert visit.kind == "inpatient"
