"""What people who do this work reported elsewhere: each input has the answer that is named beside it, in `.expected`.

The file of an input is its number and name. The addresses, and a rotation of keys, need a plan or a folder of their own
making; the rest goes through the API as it is.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from backend.app import create_app
from backend.city.id_number import DocumentKind
from backend.city.person import Person
from backend.cli.keys import PUBLICATION_LEAD
from backend.security.keyring import VerifiedToken, rotate, verify_token
from backend.services.school_lookup.editions import store_plan
from backend.services.school_lookup.plan import Plan
from backend.services.school_lookup.synthetic_district import synthetic_plan
from backend.settings import Settings
from tests.conftest import Clock, SignIn
from tests.integrations.his.fhir.hospital_system import HospitalSystem, encounter
from tests.integrations.his.hospital import Hl7System
from tests.services.health_code import scene as health
from tests.services.medical_credit.scene import Patient, Scene
from tests.services.test_identity_documents import City

FIELD = Path(__file__).parent
SPRING_OF_APPLICATION = datetime(2027, 5, 2, 4, 0, tzinfo=UTC)
AFTER_THE_INPUTS = datetime(2026, 11, 29, 4, 0, tzinfo=UTC)
Client = health.Client
Verify = Callable[..., httpx.Response]


def given(name: str) -> Any:  # noqa: ANN401  any JSON
    """Return an input, by the beginning of its file's name."""
    [file] = FIELD.glob(f"{name}-*.json")
    return msgspec.json.decode(file.read_bytes())


def numbers(name: str) -> Iterator[dict[str, str]]:
    """Yield the bodies of an input that has one body and further numbers."""
    body = given(name)["body"]
    yield body
    for number in given(name)["also"]:
        yield body | {"id_number": number}


@pytest.fixture
def verify(client: Client, sign_in: SignIn) -> Verify:
    """Verify the identity of the holder of a new phone."""
    phones = itertools.count(13_911_040_001)

    def put(**body: str) -> httpx.Response:
        return client.put("/v1/me/real-name", json=body, headers=sign_in(str(next(phones))))

    return put


@pytest.mark.parametrize("name", ["01", "03"])
def test_numbers_of_any_division_and_residence_permits_are_accepted_at_all_four_doors(
    client: Client, clock: Clock, sign_in: SignIn, name: str
) -> None:
    scene = Scene(client, clock, sign_in)
    city, hospital, his = City(scene, sign_in), HospitalSystem(scene, scene.first), Hl7System()
    for place, body in enumerate(numbers(name)):
        number = body["id_number"]
        person: Patient = city.verified(number, name=body["name"])
        [event] = city.reports((number, "resident_identity_card"))
        city.enrols(person, number)
        hospital.create(encounter(number, f"F{place}"))
        assert "|AA|" in city.hears(his.registration(f"H{place}", number))
        assert {city.patient_of(f"{door}{place}", hospital.hospital) for door in "FH"} == {person.id}
        assert event["outcome"] == "applied"


def test_people_with_another_document_are_told_to_choose_its_kind_and_then_accepted(verify: Verify) -> None:
    passport, permit, card = given("04")["bodies"]
    kinds: dict[DocumentKind, dict[str, str]] = {"passport": passport, "hong_kong_macao_travel_permit": permit}
    for kind, body in kinds.items():
        refused = verify(**body)
        assert (refused.status_code, "请选择证件类型" in refused.text) == (400, True)
        assert verify(**body, document_kind=kind).status_code == 200
    assert verify(**card).status_code == 200, "its number tells its kind"


def test_names_are_kept_alike_however_their_dot_and_spaces_are_typed(
    client: Client, clock: Clock, sign_in: SignIn, verify: Verify
) -> None:
    city = City(Scene(client, clock, sign_in), sign_in)
    for place, name in enumerate(given("05")["names"]):
        answer = verify(name=name, id_number=health.id_number(place + 1))
        assert answer.status_code == 200, name
    kept = {
        client.app.state.city.encryption.read(person, "name")
        for person in health.stored(client, Person)
        if person.name is not None
    }
    assert kept >= {"阿卜杜热西提·买买提", "张三"}
    assert len(kept - {"阿卜杜热西提·买买提", "张三"}) <= len([city.officer])


def test_numbers_are_accepted_as_phones_type_them(verify: Verify) -> None:
    first, second, third = given("06")["id_numbers"]
    for number in (first, second):
        assert verify(name="王小明", id_number=number).status_code == 200
    assert verify(name="王小明", id_number=third).status_code != 400, (
        "its form is right; it is the first person's again"
    )


def test_a_scanner_that_types_an_end_of_line_or_a_tab_does_not_accuse_a_citizen(
    client: Client, sign_in: SignIn
) -> None:
    gate = sign_in("13800000001", roles=["gate"], venues=["west-lake"])
    citizen = sign_in("13911040009", name="孙扫码")
    outcomes: list[str] = []
    for place, end in enumerate(("\r\n", "\n", "\t")):
        code = client.get("/v1/me/health-code", headers=citizen).json()["payload"]
        body = {"venue": "west-lake", "scan_id": f"scan-000{place}", "payload": code + end}
        outcomes.append(client.post("/v1/verifications", json=body, headers=gate).json()["outcome"])
    assert outcomes == ["valid", "valid", "valid"]


def test_a_code_verifies_with_the_keys_that_were_cached_before_a_rotation(
    client: Client, sign_in: SignIn, clock: Clock, settings: Settings
) -> None:
    citizen = sign_in("13911040009", name="孙扫码")
    cached = client.get("/.well-known/jwks.json").json()
    rotate(Path(settings.keys), "code", clock.now, timedelta(hours=24), PUBLICATION_LEAD)
    clock.now += timedelta(seconds=3)
    with TestClient(create_app(settings, clock=clock)) as other_process:
        code = other_process.get("/v1/me/health-code", headers=citizen).json()["payload"]
    assert isinstance(verify_token(code, cached), VerifiedToken)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_samples_of_two_laboratories_at_one_instant_are_two_in_either_order(
    client: Client, clock: Clock, sign_in: SignIn, order: tuple[int, int]
) -> None:
    clock.now = AFTER_THE_INPUTS
    officer = sign_in("13800138002", name="陈静", roles=["health_officer"])
    wang = sign_in("13800138001", name="王芳", id_number=health.id_number(1))
    for laboratory in ("lab-a", "lab-b"):
        health.assign_source(client, officer, laboratory, "laboratory", sample_ids=False)
    events = [given("16")["events"][place] | {"id_number": health.id_number(1)} for place in order]
    answer = client.post("/v1/health-events", json={"events": events}, headers=officer)
    assert [result["outcome"] for result in answer.json()["results"]] == ["applied", "applied"]
    code = client.get("/v1/me/health-code", headers=wang).json()
    assert (code["colour"], code["rule"]) == ("red", "plan-positive-pcr")


@pytest.mark.parametrize(("name", "schools"), [("57", ["云城第1小学"]), ("58", ["云城第23小学", "云城第24小学"])])
def test_an_address_finds_the_schools_whose_catchments_list_it(
    client: Client, clock: Clock, name: str, schools: list[str]
) -> None:
    clock.now = SPRING_OF_APPLICATION
    encoded = msgspec.json.encode(synthetic_plan(clock.now.year)).replace("锦兰苑".encode(), "朝晖六区".encode())
    publish(client, msgspec.json.decode(encoded, type=Plan))
    answer = client.post("/v1/school-lookups", json=given(name)["body"])
    assert answer.status_code == 200, answer.text
    [child] = answer.json()["children"]
    found = [one["school"]["name"] for one in child["schools"] if one["certainty"] == "certain" and one["batch"]]
    assert found == schools


def test_a_community_that_no_plan_has_is_an_unknown_address(client: Client, clock: Clock) -> None:
    clock.now = SPRING_OF_APPLICATION
    publish(client, synthetic_plan(clock.now.year))
    answer = client.post("/v1/school-lookups", json=given("57")["body"])
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-address")


def publish(client: Client, plan: Plan) -> None:
    city = client.app.state.city
    client.blocking_portal.call(store_plan, city.store, plan, city.now())


def test_a_bank_account_without_a_check_digit_is_the_banks_to_refuse(client: Client, sign_in: SignIn) -> None:
    person = sign_in("13911040009", name="孙扫码")
    for body in given("64")["bodies"]:
        answer = client.put("/v1/me/talent/account", json=body, headers=person)
        assert answer.status_code == 200, answer.text
