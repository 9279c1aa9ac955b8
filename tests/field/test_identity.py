"""A phone that got another owner, and a number that somebody else has: each step of the inputs 09 and 10, answered."""

from datetime import date, timedelta
from typing import Any

import pytest
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.audit_log import AuditEntry, log_all_acts
from backend.city.invented_people import invented_id_number, invented_name
from backend.city.person import Person
from backend.services.account.ports import IdentityProofing
from backend.settings import Settings
from tests.conftest import Clock, SignIn
from tests.services.account.test_takeover import MINE, NEW, NUMBER, OLD, OTHER, Headers, People, refused, with_token
from tests.services.health_code import scene as health

Client = TestClient[Any]
OFFICERS = ("13800000101", "13800000102")
OWN = {"name": invented_name(MINE), "id_number": MINE}
TYPED_WRONG = {"name": "李四" if invented_name(NUMBER) != "李四" else "王五"}
RIGHT = invented_id_number(9, "female", date(1990, 3, 7))


@pytest.fixture
def settings(settings: Settings, address: str) -> Settings:
    return replace(settings, store=address, mongo_driver="pymongo")


@pytest.fixture
def people(client: Client, clock: Clock) -> People:
    return People(client, clock)


@pytest.fixture
def scene(client: Client, clock: Clock, sign_in: SignIn) -> health.Scene:
    return health.Scene(client, clock, sign_in("13800138002", name="陈静", roles=["health_officer"]))


def decide(people: People, officer: Headers, case: str) -> str:
    body = {"approves": True, "reason": "已核对户籍档案"}
    answer = people.client.post(f"/v1/identity-cases/{case}/decisions", json=body, headers=officer)
    assert answer.status_code == 201, answer.text
    return answer.json()["state"]


# ── 09: a phone that another person gets ──


@pytest.mark.parametrize("reason", ["it was silent for long", "the carrier says so"])
def test_the_new_owner_of_a_phone_is_not_shown_the_old_ones_record_and_begins_their_own(
    people: People, scene: health.Scene, clock: Clock, reason: str
) -> None:
    first = people.present(OLD)
    old = people.me(first)["id"]
    assert scene.outcomes(scene.event("contact", person=NUMBER, level="close", at=scene.ago(hours=1))) == ["applied"]
    assert scene.colour(first) == "red"

    if reason == "it was silent for long":
        clock.now += timedelta(days=91)
    else:
        clock.now += timedelta(days=2)
        given_on = clock.now.date() - timedelta(days=1)
        people.city.port(IdentityProofing).assign_phone(f"+86{OLD}", MINE, since=given_on)
    tokens = people.tokens(OLD)
    assert tokens["step_up_needed"] is True
    stranger = {"Authorization": f"Bearer {tokens['access_token']}"}
    me = people.me(stranger)
    assert (me["identity_verified"], me["name"], me["id_number"]) == (False, None, None)
    for record in (
        "health-code",
        "health-code/history",
        "visits",
        "medical-credit",
        "family-bills",
        "talent",
        "benefits",
    ):
        refused(people.client.get(f"/v1/me/{record}", headers=stranger), 403, "step-up-required")
    refused(people.verify(stranger, **OWN), 403, "identity-not-proved")

    answer = people.client.post("/v1/me/fresh-account", headers=stranger)
    assert answer.status_code == 201, answer.text
    fresh = with_token(people.verify({"Authorization": f"Bearer {answer.json()['access_token']}"}, **OWN))
    assert people.me(fresh)["id"] != old
    assert scene.code(fresh)["rule"] != "close-contact"
    assert scene.history(fresh)[0][1] == "green"

    recovered = with_token(people.prove(people.sign_in(NEW), recover=True))
    assert people.me(recovered)["id"] == old
    assert "red" in [colour for _, colour in scene.history(recovered)]


# ── 10: a number that somebody else has ──


def test_a_name_that_the_register_does_not_have_takes_no_number_and_leaves_no_record(people: People) -> None:
    squatter = people.sign_in(OLD)
    refused(people.verify(squatter, **TYPED_WRONG), 403, "identity-not-proved")
    assert people.stored(Person) == []
    assert people.me(people.verified(NEW))["identity_verified"] is True


def test_the_holder_of_a_number_takes_it_from_somebody_who_knew_it(people: People) -> None:
    squatter = people.verified(OLD)
    refused(people.verify(people.sign_in(NEW)), 403, "identity-not-proved")
    owner = people.present(NEW)
    assert (people.me(owner)["level"], people.code_status(owner), people.code_status(squatter)) == (3, 200, 401)


def test_the_refusal_of_a_number_that_is_taken_is_word_for_word_that_of_a_wrong_name(people: People) -> None:
    people.verified(OLD)
    taken = people.verify(people.sign_in(NEW)).json()
    wrong = people.verify(people.sign_in(OTHER), **OWN | TYPED_WRONG).json()
    assert taken | {"request_id": ""} == wrong | {"request_id": ""}


def test_two_officers_release_a_number_and_the_audit_log_has_it(people: People, sign_in: SignIn) -> None:
    first, second = (sign_in(phone, roles=["identity_officer"]) for phone in OFFICERS)
    holder = people.present(OLD)
    case = people.prove(people.sign_in(NEW)).json()["case_id"]
    assert (decide(people, first, case), people.code_status(holder)) == ("open", 200)
    assert (decide(people, second, case), people.code_status(holder)) == ("done", 401)
    assert people.code_status(people.sign_in(NEW)) == 200
    people.call(log_all_acts, people.city)
    approvals = [entry for entry in people.stored(AuditEntry) if entry.about == case]
    assert [entry.action for entry in approvals] == ["account.identity_approved"] * 2


def test_whoever_mistyped_a_name_types_it_again(people: People) -> None:
    headers = people.sign_in(OLD)
    refused(people.verify(headers, **TYPED_WRONG), 403, "identity-not-proved")
    assert people.code_status(with_token(people.verify(headers))) == 200


@pytest.mark.parametrize("correction", [{"name": "王更名"}, {"new_id_number": RIGHT}])
def test_two_officers_correct_what_is_on_record(people: People, sign_in: SignIn, correction: dict[str, str]) -> None:
    first, second = (sign_in(phone, roles=["identity_officer"]) for phone in OFFICERS)
    people.present(OLD)
    body = {"id_number": NUMBER, "reason": "登记有误", **correction}
    case = people.client.post("/v1/identity-cases", json=body, headers=first)
    assert case.status_code == 201, case.text
    assert decide(people, second, case.json()["id"]) == "done"
    assert people.code_status(people.sign_in(OLD)) == 200
