"""Identity cases: two officers decide whose a number is, and correct names and numbers."""

from datetime import date
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.audit_log import AuditEntry, log_all_acts
from backend.city.invented_people import invented_face, invented_id_number, invented_name
from backend.services.account.ports import IdentityProofing
from tests.conftest import Clock, SignIn
from tests.services.account.test_takeover import NUMBER, People, refused, with_token

Client = TestClient[Litestar]
Headers = dict[str, str]
HOLDER, CLAIMANT = "13712345001", "13712345002"
RIGHT = invented_id_number(9, "female", date(1990, 3, 7))


@pytest.fixture
def people(client: Client, clock: Clock) -> People:
    return People(client, clock)


@pytest.fixture
def officers(sign_in: SignIn) -> tuple[Headers, Headers]:
    first, second = (sign_in(phone, roles=["identity_officer"]) for phone in ("13800000101", "13800000102"))
    return first, second


def decide(client: Client, officer: Headers, case: str, *, approves: bool = True) -> httpx.Response:
    body = {"approves": approves, "reason": "已核对户籍档案"}
    return client.post(f"/v1/identity-cases/{case}/decisions", json=body, headers=officer)


def correct(client: Client, officer: Headers, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    body = {"id_number": NUMBER, "reason": "依法更名"} | body
    return client.post("/v1/identity-cases", json=body, headers=officer)


@pytest.fixture
def contested(people: People) -> tuple[Headers, Headers, str]:
    """Return the holder and the claimant of one number, who were both present, and the case."""
    holder, claimant = people.present(HOLDER), people.sign_in(CLAIMANT)
    case = people.prove(claimant).json()["case_id"]
    return holder, claimant, case


def test_two_officers_give_a_number_to_another_account(
    people: People, officers: tuple[Headers, Headers], contested: tuple[Headers, Headers, str]
) -> None:
    holder, _, case = contested
    (listed,) = people.client.get("/v1/identity-cases", headers=officers[0]).json()["cases"]
    assert (listed["id"], listed["kind"]) == (case, "takeover")
    assert any("由两名工作人员核实" in text for text in people.notices(holder))
    assert decide(people.client, officers[0], case).json()["state"] == "open"
    assert people.code_status(holder) == 200
    assert decide(people.client, officers[1], case).json()["state"] == "done"
    assert people.code_status(holder) == 401
    assert people.code_status(people.sign_in(CLAIMANT)) == 200
    refused(decide(people.client, officers[0], case), 409, "case-closed")


def test_one_officer_does_not_decide_alone(
    people: People, officers: tuple[Headers, Headers], contested: tuple[Headers, Headers, str]
) -> None:
    _, _, case = contested
    decide(people.client, officers[0], case)
    refused(decide(people.client, officers[0], case), 409, "own-identity-case")


def test_one_officer_is_enough_to_refuse(
    people: People, officers: tuple[Headers, Headers], contested: tuple[Headers, Headers, str]
) -> None:
    holder, _, case = contested
    assert decide(people.client, officers[0], case, approves=False).json()["state"] == "refused"
    assert people.code_status(holder) == 200


def test_an_officer_does_not_decide_on_their_own_number(people: People, sign_in: SignIn) -> None:
    officer = sign_in(HOLDER, name=invented_name(NUMBER), id_number=NUMBER, roles=["identity_officer"])
    case = people.prove(people.sign_in(CLAIMANT)).json()["case_id"]
    refused(decide(people.client, officer, case), 409, "own-identity-case")
    refused(correct(people.client, officer, name="王更名"), 409, "own-identity-case")


def test_two_officers_correct_a_name(people: People, officers: tuple[Headers, Headers]) -> None:
    holder = people.present(HOLDER)
    case = correct(people.client, officers[0], name="王更名").json()
    assert (case["kind"], case["state"], case["name"]) == ("name", "open", "王更名")
    assert people.me(holder)["name"][-1] == invented_name(NUMBER)[-1]
    assert decide(people.client, officers[1], case["id"]).json()["state"] == "done"
    assert people.me(holder)["name"] == "**名"


def test_two_officers_correct_a_number(people: People, officers: tuple[Headers, Headers]) -> None:
    people.present(HOLDER)
    case = correct(people.client, officers[0], new_id_number=RIGHT).json()
    assert decide(people.client, officers[1], case["id"]).json()["state"] == "done"
    changed = people.sign_in(HOLDER)
    assert (people.me(changed)["id_number"][-1], people.me(changed)["level"]) == (RIGHT[-1], 3)
    assert people.code_status(changed) == 200


@pytest.mark.parametrize("body", [{}, {"name": "王更名", "new_id_number": RIGHT}])
def test_a_correction_is_of_one_thing(people: People, officers: tuple[Headers, Headers], body: dict[str, str]) -> None:
    people.present(HOLDER)
    refused(correct(people.client, officers[0], **body), 400, "invalid-request")


def test_nobody_else_sees_or_decides_cases(people: People, contested: tuple[Headers, Headers, str]) -> None:
    holder, _, case = contested
    for answer in (
        people.client.get("/v1/identity-cases", headers=holder),
        people.client.get(f"/v1/identity-cases/{case}", headers=holder),
        decide(people.client, holder, case),
        correct(people.client, holder, name="王更名"),
    ):
        refused(answer, 403, "not-allowed")


def test_what_officers_decide_and_read_is_in_the_audit_log(
    people: People, officers: tuple[Headers, Headers], contested: tuple[Headers, Headers, str]
) -> None:
    _, _, case = contested
    people.client.get(f"/v1/identity-cases/{case}", headers=officers[0])
    for officer in officers:
        decide(people.client, officer, case)
    people.call(log_all_acts, people.city)
    entries = [entry for entry in people.stored(AuditEntry) if entry.about == case]
    actions = sorted(entry.action for entry in entries)
    assert actions == ["account.identity_approved"] * 2 + ["account.identity_case_read"]
    assert not any("户籍" in entry.reason for entry in entries)


def test_a_name_that_the_register_has_changed_is_proved_in_person(people: People) -> None:

    holder = people.present(HOLDER)
    people.city.port(IdentityProofing).register(NUMBER, "王更名")
    refused(people.verify(holder, name="王更名"), 409, "identity-already-verified")
    changed = with_token(people.prove(holder, name="王更名", evidence=invented_face(NUMBER)))
    assert people.me(changed)["name"] == "**名"
