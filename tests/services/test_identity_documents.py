"""Everybody with a document is let in by each of the four doors where its number enters, on either store."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from stdnum.cn import ric

from backend.city.id_number import RESIDENT_CARD, DocumentKind, IdentityDocument, parse_id_number
from backend.city.invented_people import invented_face, invented_name, is_invented
from backend.city.person import document_of, known_person
from backend.services.medical_credit.model.enrolment import AGREEMENT
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.talent_code.facts import Degree
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Peer
from tests.conftest import Clock, SignIn
from tests.integrations.his.fhir.hospital_system import HospitalSystem, encounter
from tests.integrations.his.hospital import Hl7System
from tests.services.health_code.scene import assign_source
from tests.services.medical_credit.scene import FACTS, Client, Patient, Scene

BORN_BEFORE_THEIR_DISTRICT = (
    "330106196603100113",
    "33010219500505011X",
    "440106197001010110",
    "420106196501010119",
    "330109198808080118",
    "330110199901010114",
)
RESIDENCE_PERMITS = ("830000198501010110", "810000198501010117", "820000198501010119")
DIVISIONS = ("330113", "330114", "110221", "540001", "659001", "620300", "990000")
"""Linping and Qiantang of 2021, Changping county, ended in 1999, places of unusual forms, and the invented city's."""

OTHER_DOCUMENTS: dict[str, tuple[DocumentKind, str, str]] = {
    "933840198501010015": ("permanent_residence_card", "933840198501010015", "PRC"),
    "USA330185010101": ("permanent_residence_card", "USA330185010101", "PRC"),
    "ea 1234567": ("passport", "EA1234567", "PPN"),
    "H1234567801": ("hong_kong_macao_travel_permit", "H12345678", "06"),
    "01234567": ("taiwan_travel_permit", "01234567", "07"),
}
"""By the number as typed: its kind, the number that identifies the person, and its type in PID-3 and Identifier."""


def with_checksum(first_seventeen: str) -> str:
    return first_seventeen + ric.calc_check_digit(first_seventeen + "0")


NUMBERS = (
    *BORN_BEFORE_THEIR_DISTRICT,
    *RESIDENCE_PERMITS,
    *(with_checksum(f"{division}{year}0229001") for division in DIVISIONS for year in (1920, 2000)),
)


@pytest.fixture
def scene(client: Client, clock: Clock, sign_in: SignIn) -> Scene:
    return Scene(client, clock, sign_in)


@pytest.fixture
def hospital(scene: Scene) -> HospitalSystem:
    return HospitalSystem(scene, scene.first)


class City:
    """Short forms of how the number of a document enters."""

    def __init__(self, scene: Scene, sign_in: SignIn) -> None:
        self.scene, self.sign_in, self.client = scene, sign_in, scene.client
        self.phones = iter(range(13_800_000_200, 13_800_001_000))
        self.officer = sign_in(
            "13800000001", name="陈静", id_number=with_checksum("33010619900307901"), roles=["health_officer"]
        )
        assign_source(self.client, self.officer, "cdc", "register")

    def verified(self, number: str, document_kind: DocumentKind = RESIDENT_CARD, **body: object) -> Patient:
        """Prove an identity with a document, by the registers and in person; return the person who is signed in."""
        headers = self.sign_in(str(next(self.phones)))
        name = invented_name(number) if is_invented(number) else "王小明"
        identity = {"name": name, "id_number": number, "document_kind": document_kind, **body}
        answer = self.client.put("/v1/me/real-name", json=identity, headers=headers)
        assert answer.status_code == 200, answer.text
        document = parse_id_number(number, self.scene.city.today(), kind=document_kind)
        face = {"method": "face", "evidence": invented_face(str(document))}
        answer = self.client.post("/v1/me/identity-proofs", json=identity | face, headers=headers)
        assert answer.status_code == 200, answer.text
        return Patient(self.client.app, {"Authorization": f"Bearer {answer.json()['access_token']}"})

    def enrols(self, person: Patient, stored: str) -> None:
        """Enrol somebody in pay later, of whom the registry knows nothing bad."""
        self.scene.registry.set_facts(stored, FACTS)
        answer = self.client.post(
            "/v1/me/medical-credit", json={"agreement": AGREEMENT, "i_agree": True}, headers=person
        )
        assert answer.status_code == 201, answer.text

    def reports(self, *events: tuple[str, DocumentKind]) -> list[dict[str, Any]]:
        """Report the holder of each of these documents as a close contact."""
        body = [
            {
                "source": "cdc",
                "id": f"{number}-{kind}",
                "id_number": number,
                "document_kind": kind,
                "case_id": number,
                "event": {"kind": "contact", "level": "close", "at": "2022-04-19T08:00:00+08:00"},
            }
            for number, kind in events
        ]
        answer = self.client.post("/v1/health-events", json={"events": body}, headers=self.officer)
        return answer.json()["results"]

    def hears(self, message: str) -> str:
        """Return the answer to a message over MLLP."""

        async def answers() -> Sequence[bytes]:
            return [answer async for answer in receive_message(self.scene.city, message.encode(), Peer("127.0.0.1"))]

        return b"".join(self.scene.call(answers)).decode()

    def document(self, person: str) -> IdentityDocument:
        found = self.scene.call(known_person, self.scene.city.store, person)
        return document_of(self.scene.city.encryption, found)

    def patient_of(self, number: str, hospital: Hospital) -> str:
        visit = self.scene.call(self.scene.city.store.get, Visit, visit_id(hospital.id, number))
        assert visit is not None
        return visit.person


@pytest.fixture
def city(scene: Scene, sign_in: SignIn) -> City:
    return City(scene, sign_in)


def test_a_resident_id_number_of_any_division_and_year_is_accepted_everywhere(
    city: City, hospital: HospitalSystem
) -> None:
    results = city.reports(*((number, "resident_identity_card") for number in NUMBERS))
    assert [result["outcome"] for result in results] == ["applied"] * len(NUMBERS)
    his = Hl7System()
    for place, number in enumerate(NUMBERS):
        person = city.verified(number)
        assert city.document(person.id) == IdentityDocument(number)
        city.enrols(person, number)
        hospital.create(encounter(number, f"F{place}"))
        assert "|AA|" in city.hears(his.registration(f"H{place}", number))
        assert {city.patient_of(f"{door}{place}", hospital.hospital) for door in "FH"} == {person.id}


@pytest.mark.parametrize("typed", OTHER_DOCUMENTS)
def test_another_document_is_accepted_everywhere_with_its_kind(
    city: City, hospital: HospitalSystem, typed: str
) -> None:
    kind, number, type_ = OTHER_DOCUMENTS[typed]
    [result] = city.reports((typed, kind))
    assert result["outcome"] == "applied"
    person = city.verified(typed, document_kind=kind, name="SMITH JOHN", sex="male", born_on="1985-01-01")
    assert city.document(person.id) == IdentityDocument(number, kind)
    code = city.client.get("/v1/me/health-code", headers=person).json()
    assert code["colour"] == "red", "the event is theirs"
    city.enrols(person, f"{kind}:{number}")
    subject = {"identifier": {"type": {"coding": [{"code": type_}]}, "value": typed}}
    hospital.create(encounter("", "F1", subject=subject))
    message = Hl7System().registration("H1", "MARK").replace("MARK^^^CN^NI", f"{typed}^^^CN^{type_}")
    assert "|AA|" in city.hears(message)
    assert {city.patient_of(visit, hospital.hospital) for visit in ("F1", "H1")} == {person.id}


def test_one_number_typed_in_two_ways_is_one_person(city: City) -> None:
    [event] = city.reports(("33010619900307009\uff38", "resident_identity_card"))
    assert event["outcome"] == "applied"
    person = city.verified("330106-19900307-009x")
    assert city.client.get("/v1/me/health-code", headers=person).json()["colour"] == "red"


def test_the_same_number_of_two_kinds_is_two_people(city: City) -> None:
    first = city.verified("H12345678", document_kind="passport")
    second = city.verified("H12345678", document_kind="hong_kong_macao_travel_permit")
    assert first.id != second.id


@pytest.mark.parametrize("typed", OTHER_DOCUMENTS)
def test_holders_of_other_documents_use_every_service(city: City, typed: str) -> None:
    kind, number, _ = OTHER_DOCUMENTS[typed]
    person = city.verified(typed, document_kind=kind, born_on="1985-01-01")
    shown = city.client.get("/v1/me", headers=person).json()["id_number"]
    assert (shown[0], shown[-1], len(shown)) == (number[0], number[-1], len(number))
    for path in ("health-code", "talent", "benefits"):
        assert city.client.get(f"/v1/me/{path}", headers=person).status_code == 200
    degree = msgspec.to_builtins(Degree("master", datetime(2015, 6, 29, 16, tzinfo=UTC)))
    declared = city.client.post("/v1/me/talent/evidence", json={"qualification": degree}, headers=person)
    assert declared.status_code == 201
    city.enrols(person, f"{kind}:{number}")


def test_a_service_that_depends_on_age_asks_for_a_birth_date_that_the_document_does_not_tell(city: City) -> None:
    passport = {"document_kind": "passport", "name": "SMITH JOHN"}
    person = city.verified("EA1234567", **passport)
    assert city.client.get("/v1/me/health-code", headers=person).status_code == 200
    consent = {"agreement": AGREEMENT, "i_agree": True}
    for answer in (
        city.client.get("/v1/me/talent", headers=person),
        city.client.post("/v1/me/medical-credit", json=consent, headers=person),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/birth-date-missing")
    body = {"id_number": "EA1234567", "born_on": "1985-01-01", **passport}
    assert city.client.put("/v1/me/real-name", json=body, headers=person).status_code == 200
    assert city.client.get("/v1/me/talent", headers=person).status_code == 200


def test_the_birth_date_of_a_document_that_tells_none_is_given_once(city: City) -> None:
    passport = {"document_kind": "passport", "id_number": "EA1234567", "name": "SMITH JOHN"}
    person = city.verified("EA1234567", **passport, born_on="1985-01-01", sex="male")
    for change, pointer in (({"born_on": "1999-01-01"}, "/born_on"), ({"sex": "female"}, "/sex")):
        answer = city.client.put("/v1/me/real-name", json=passport | change, headers=person)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/identity-mismatch")
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_birth_date_is_not_in_the_future_and_agrees_with_a_card_that_tells_it(city: City) -> None:
    headers = city.sign_in("13800000150")
    for body in (
        {"id_number": "EA1234567", "document_kind": "passport", "born_on": "2022-04-21"},
        {"id_number": "933840198501010015", "born_on": "1985-01-02"},
    ):
        answer = city.client.put("/v1/me/real-name", json={"name": "SMITH JOHN", **body}, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/identity-mismatch")
        assert answer.json()["errors"][0]["pointer"] == "/born_on"


def test_family_payers_and_reviews_are_asked_for_by_any_document(city: City) -> None:
    payer = city.verified("EA1234567", document_kind="passport", born_on="1985-01-01")
    city.enrols(payer, "passport:EA1234567")
    patient = city.verified(BORN_BEFORE_THEIR_DISTRICT[0])
    city.enrols(patient, BORN_BEFORE_THEIR_DISTRICT[0])
    body = {"id_number": "ea-1234567", "document_kind": "passport"}
    assert city.client.post("/v1/me/family", json=body | {"relation": "spouse"}, headers=patient).status_code == 202
    [consent] = city.client.get("/v1/me/family", headers=payer).json()["consents"]
    assert consent["role"] == "payer"
    officer = city.sign_in("13800000004", roles=["talent_officer"])
    assert city.client.post("/v1/talent-reviews", json=body, headers=officer).status_code == 202


def test_a_resident_card_is_preferred_to_another_document_of_the_same_patient(
    city: City, hospital: HospitalSystem
) -> None:
    number = BORN_BEFORE_THEIR_DISTRICT[0]
    person = city.verified(number)
    city.enrols(person, number)
    message = Hl7System().registration("H1", number).replace(f"~{number}", f"~EA1234567^^^USA^PPN~{number}")
    assert "|AA|" in city.hears(message)
    assert city.patient_of("H1", hospital.hospital) == person.id


def test_a_contained_patient_may_have_a_passport_and_an_unknown_system_identifies_nobody(
    city: City, hospital: HospitalSystem
) -> None:
    person = city.verified("EA1234567", document_kind="passport", born_on="1985-01-01")
    city.enrols(person, "passport:EA1234567")
    identifiers = [
        {"system": "urn:his:patients", "value": "P-77"},
        {"type": {"coding": [{"code": "PPN"}]}, "value": "EA1234567"},
    ]
    patient = {"resourceType": "Patient", "id": "p", "identifier": identifiers}
    hospital.create(encounter("", "F1", contained=[patient], subject={"reference": "#p"}))
    assert city.patient_of("F1", hospital.hospital) == person.id
    answer = hospital.post(encounter("", "F2", subject={"identifier": identifiers[0]}))
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (422, ["Encounter.subject"])


def test_a_patient_is_found_by_the_system_of_a_passport(city: City, hospital: HospitalSystem) -> None:
    system = "http://hl7.org/fhir/sid/passport-USA"
    person = city.verified("EA1234567", document_kind="passport", born_on="1985-01-01")
    city.enrols(person, "passport:EA1234567")
    hospital.create(encounter("", "F1", subject={"identifier": {"system": system, "value": "EA1234567"}}))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for token, total in ((f"{system}|EA1234567", 1), ("urn:oid:2.16.156.10011.1.3|330106196603100113", 0)):
        body = urlencode({"patient.identifier": token})
        found = hospital.request("POST", "Encounter/_search", body, **form)
        assert (found.status_code, found.json()["total"]) == (200, total)


def test_an_event_about_a_wrong_number_is_refused_alone(city: City) -> None:
    wrong, right = city.reports(("330106199003070023", "resident_identity_card"), ("E1234567", "passport"))
    assert (wrong["outcome"], right["outcome"]) == ("refused", "applied")
    assert wrong["problem"]["errors"][0]["pointer"] == "/events/0/id_number"
