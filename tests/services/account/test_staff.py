"""Staff: two operators grant roles, one takes them away, and what was taken away ends at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.service import City
from backend.services.account.accounts import find_account
from backend.services.account.api.staff_schemas import MAX_ROWS
from backend.services.account.model.account import Account
from backend.services.account.model.staff import PROPOSAL_LIFETIME
from backend.store import Document, StoreUnavailable
from tests.conftest import Clock, SignIn

Client = TestClient[Litestar]
Headers = dict[str, str]
ANNA, BEN, CLARA = "13800000003", "13800000006", "13800000009"
ZHANG = "13912345678"
SCAN = {"payload": "x", "venue": "west-lake", "scan_id": "scan-0001"}


@pytest.fixture
def anna(sign_in: SignIn) -> Headers:
    return sign_in(ANNA, roles=["operator"])


@pytest.fixture
def ben(sign_in: SignIn) -> Headers:
    return sign_in(BEN, roles=["operator"])


def propose(client: Client, operator: Headers, phone: str = ZHANG, **grant: Any) -> httpx.Response:  # noqa: ANN401
    body = {"phone": phone, "reason": "岗位调整", "roles": ["gate"], "venues": ["west-lake"]} | grant
    return client.post("/v1/staff/grants", json=body, headers=operator)


def approve(client: Client, operator: Headers, grant: str) -> httpx.Response:
    return client.post(f"/v1/staff/grants/{grant}/approval", headers=operator)


def withdraw(client: Client, operator: Headers, account: str, *roles: str) -> httpx.Response:
    body = {"roles": list(roles), "reason": "离职"}
    return client.post(f"/v1/staff/{account}/withdrawals", json=body, headers=operator)


def account_of(client: Client, headers: Headers) -> str:
    return client.get("/v1/me", headers=headers).json()["id"]


def refused(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text


def city_of(client: Client) -> City:
    return client.app.state.city


def stored_account(client: Client, phone: str) -> Account:
    account = client.blocking_portal.call(find_account, city_of(client), f"+86{phone}")
    assert account is not None
    return account


def prove(client: Client, phone: str, level: int) -> None:
    account = stored_account(client, phone)
    proved = replace(account, citizen_id=account.citizen_id or f"person-of-{phone}", level=level)
    client.blocking_portal.call(city_of(client).store.replace, proved)


# ── two people grant ──


def test_a_role_that_one_operator_proposes_and_another_approves_is_in_force_at_once(
    client: Client, sign_in: SignIn, anna: Headers, ben: Headers
) -> None:
    zhang = sign_in(ZHANG)
    prove(client, ZHANG, 3)
    proposed = propose(client, anna, roles=["gate", "gate"])
    assert proposed.status_code == 201, proposed.text
    assert client.post("/v1/verifications", json=SCAN, headers=zhang).status_code == 403
    approved = approve(client, ben, proposed.json()["id"]).json()
    assert (approved["roles"], approved["venues"], approved["in_force"]) == (["gate"], ["west-lake"], True)
    assert client.get("/v1/me", headers=sign_in(ZHANG)).json()["roles"] == ["gate"]


def test_an_operator_does_not_approve_their_own_proposal(client: Client, anna: Headers) -> None:
    refused(approve(client, anna, propose(client, anna).json()["id"]), 409, "own-grant")


def test_an_operator_does_not_approve_their_own_proposal_from_another_account(
    client: Client, sign_in: SignIn, anna: Headers
) -> None:
    grant = propose(client, anna).json()["id"]
    person = stored_account(client, ANNA).citizen_id
    first = stored_account(client, ANNA)
    client.blocking_portal.call(city_of(client).store.replace, replace(first, citizen_id=None, level=1))
    second_headers = sign_in(CLARA, roles=["operator"])
    second = replace(stored_account(client, CLARA), citizen_id=person)
    client.blocking_portal.call(city_of(client).store.replace, second)
    refused(approve(client, second_headers, grant), 409, "own-grant")


def test_nobody_proposes_or_approves_a_role_for_themselves(client: Client, anna: Headers, ben: Headers) -> None:
    refused(propose(client, anna, ANNA), 409, "own-grant")
    refused(approve(client, ben, propose(client, anna, BEN).json()["id"]), 409, "own-grant")


def test_an_operator_alone_cannot_give_a_role_to_anybody(client: Client, sign_in: SignIn, anna: Headers) -> None:
    sign_in(ZHANG)
    prove(client, ZHANG, 3)
    grant = propose(client, anna).json()["id"]
    approve(client, anna, grant)
    client.post("/v1/staff/grants/approvals", json={"grants": [grant]}, headers=anna)
    assert stored_account(client, ZHANG).roles == ()


def test_a_proposal_expires(client: Client, anna: Headers, ben: Headers, sign_in: SignIn, clock: Clock) -> None:
    grant = propose(client, anna).json()
    clock.now += PROPOSAL_LIFETIME
    ben = sign_in(BEN)
    refused(approve(client, ben, grant["id"]), 409, "grant-expired")
    assert client.get("/v1/staff/grants", headers=ben).json()["grants"] == []


def test_a_proposal_is_decided_once(client: Client, anna: Headers, ben: Headers) -> None:
    approved, declined = propose(client, anna).json()["id"], propose(client, anna, roles=["partner"]).json()["id"]
    assert approve(client, ben, approved).status_code == 200
    assert client.delete(f"/v1/staff/grants/{declined}", headers=ben).status_code == 204
    for grant in (approved, declined, "nobody.nothing"):
        refused(approve(client, ben, grant), 404, "grant-not-found")


def test_the_same_proposal_again_is_the_same_proposal(client: Client, anna: Headers) -> None:
    assert propose(client, anna).json()["id"] == propose(client, anna).json()["id"]


@pytest.mark.parametrize(
    ("present", "proposed"), [("operator", "auditor"), ("approver", "author"), ("gate", "auditor")]
)
def test_nobody_has_two_roles_that_exclude_each_other(
    client: Client, anna: Headers, ben: Headers, present: str, proposed: str
) -> None:
    grant = propose(client, anna, roles=[present], venues=[]).json()["id"]
    other = propose(client, anna, roles=[proposed], venues=[]).json()["id"]
    assert approve(client, ben, grant).status_code == 200
    refused(approve(client, ben, other), 409, "exclusive-roles")
    refused(propose(client, anna, roles=[proposed], venues=["east"]), 409, "exclusive-roles")
    refused(propose(client, anna, BEN[:-1] + "8", roles=[present, proposed]), 409, "exclusive-roles")


# ── proved in person ──


def test_somebody_is_entered_before_they_first_sign_in_and_their_role_waits_for_their_proof(
    client: Client, sign_in: SignIn, anna: Headers, ben: Headers, clock: Clock
) -> None:
    granted = approve(client, ben, propose(client, anna).json()["id"]).json()
    assert granted["in_force"] is False
    zhang = sign_in(ZHANG)
    shown = client.get("/v1/me", headers=zhang).json()
    assert (shown["roles"], shown["roles_waiting"]) == ([], ["gate"])
    for level in (1, 2):
        prove(client, ZHANG, level)
        assert client.post("/v1/verifications", json=SCAN, headers=zhang).status_code == 403
    prove(client, ZHANG, 3)
    clock.now += timedelta(seconds=5)
    assert client.post("/v1/verifications", json=SCAN, headers=zhang).status_code == 200


# ── withdrawing ──


def test_one_operator_takes_a_role_away_and_it_ends_with_the_answer(
    client: Client, sign_in: SignIn, anna: Headers
) -> None:
    officer = sign_in(ZHANG, roles=["health_officer"])
    report = {"events": []}
    assert client.post("/v1/health-events", json=report, headers=officer).status_code != 403
    assert withdraw(client, anna, account_of(client, officer), "health_officer").json()["roles"] == []
    assert client.post("/v1/health-events", json=report, headers=officer).status_code == 403


def test_two_operators_remain(client: Client, sign_in: SignIn, anna: Headers, ben: Headers) -> None:
    clara = sign_in(CLARA, roles=["operator"])
    accounts = [account_of(client, headers) for headers in (anna, ben, clara)]
    prove(client, CLARA, 1)
    refused(withdraw(client, anna, accounts[1], "operator"), 409, "last-operators")
    prove(client, CLARA, 3)
    assert withdraw(client, anna, accounts[1], "operator").status_code == 200
    refused(withdraw(client, anna, accounts[2], "operator"), 409, "last-operators")
    refused(withdraw(client, anna, accounts[0], "operator"), 409, "last-operators")
    assert client.get("/v1/staff", headers=ben).status_code == 403


def test_a_removed_operator_grants_nothing_with_a_token_that_is_still_valid(
    client: Client, sign_in: SignIn, anna: Headers, ben: Headers
) -> None:
    sign_in(CLARA, roles=["operator"])
    grant = propose(client, anna).json()["id"]
    withdraw(client, anna, account_of(client, ben), "operator")
    assert approve(client, ben, grant).status_code == 403
    assert stored_account(client, ZHANG).roles == ()


def test_an_ended_session_grants_nothing_with_a_token_that_is_still_valid(
    client: Client, anna: Headers, ben: Headers
) -> None:
    grant = propose(client, anna).json()["id"]
    assert client.delete("/v1/sessions/current", headers=ben).status_code == 204
    refused(approve(client, ben, grant), 401, "not-signed-in")


def test_an_ended_session_moves_no_money_and_changes_nothing(client: Client, sign_in: SignIn) -> None:
    zhang = sign_in(ZHANG, name="张伟")
    assert client.delete("/v1/sessions/current", headers=zhang).status_code == 204
    for method, path in (("POST", "/v1/me/medical-credit"), ("PUT", "/v1/me/talent/account"), ("PUT", "/v1/me/phone")):
        refused(client.request(method, path, json={}, headers=zhang), 401, "not-signed-in")


def test_a_gate_whose_role_or_session_ended_scans_for_five_seconds_at_most(
    client: Client, sign_in: SignIn, anna: Headers, clock: Clock
) -> None:
    gate = sign_in(ZHANG, roles=["gate"], venues=["west-lake"])
    account = account_of(client, gate)
    assert client.post("/v1/verifications", json=SCAN, headers=gate).status_code == 200
    withdraw(client, anna, account, "gate")
    clock.now += timedelta(seconds=5)
    assert client.post("/v1/verifications", json=SCAN, headers=gate).status_code == 403


def test_a_gate_at_a_venue_that_was_withdrawn_stops_within_five_seconds(
    client: Client, sign_in: SignIn, anna: Headers, clock: Clock
) -> None:
    gate = sign_in(ZHANG, roles=["gate"], venues=["west-lake", "east-gate"])
    assert client.post("/v1/verifications", json=SCAN, headers=gate).status_code == 200
    body = {"venues": ["west-lake"], "reason": "换岗"}
    client.post(f"/v1/staff/{account_of(client, gate)}/withdrawals", json=body, headers=anna)
    clock.now += timedelta(seconds=5)
    refused(client.post("/v1/verifications", json=SCAN, headers=gate), 403, "venue-not-assigned")
    assert client.post("/v1/verifications", json=SCAN | {"venue": "east-gate"}, headers=gate).status_code == 200


# ── while the store does not answer ──


@pytest.fixture
def store_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def away() -> None:
        async def get(_kind: type[Document], _document_id: str) -> None:
            raise StoreUnavailable("away")

        monkeypatch.setattr(city_of(client).store, "get", get)

    return away


def test_while_the_store_is_away_gates_go_on_and_grants_and_money_do_not(
    client: Client, sign_in: SignIn, anna: Headers, store_away: Callable[[], None], clock: Clock
) -> None:
    gate = sign_in(ZHANG, roles=["gate"], venues=["west-lake"])
    new_gate = sign_in("13912345679", roles=["gate"], venues=["west-lake"])
    citizen = sign_in("13912345680", name="张伟")
    client.post("/v1/verifications", json=SCAN, headers=gate)
    clock.now += timedelta(seconds=60)
    store_away()
    for headers in (gate, new_gate):
        assert client.post("/v1/verifications", json=SCAN, headers=headers).status_code == 200
    assert propose(client, anna).status_code == 503
    assert client.post("/v1/me/medical-credit", json={}, headers=citizen).status_code == 503


def test_a_gate_that_was_known_to_be_removed_stays_out_while_the_store_is_away(
    client: Client, sign_in: SignIn, anna: Headers, store_away: Callable[[], None], clock: Clock
) -> None:
    gate = sign_in(ZHANG, roles=["gate"], venues=["west-lake"])
    withdraw(client, anna, account_of(client, gate), "gate")
    assert client.post("/v1/verifications", json=SCAN, headers=gate).status_code == 403
    clock.now += timedelta(seconds=60)
    store_away()
    assert client.post("/v1/verifications", json=SCAN, headers=gate).status_code == 403


# ── lists and bulk ──


def test_operators_and_auditors_see_who_has_which_role_and_venue(
    client: Client, sign_in: SignIn, anna: Headers
) -> None:
    sign_in(ZHANG, roles=["gate"], venues=["west-lake"])
    sign_in("13912345679", roles=["gate"], venues=["east-gate"])
    auditor = sign_in("13912345680", roles=["auditor"])

    def found(headers: Headers, **query: str) -> list[str]:
        answer = client.get("/v1/staff", params=query, headers=headers)
        return sorted(one["phone"][-4:] for one in answer.json()["staff"])

    for headers in (anna, auditor):
        assert found(headers, role="gate") == ["5678", "5679"]
        assert found(headers, venue="east-gate") == ["5679"]
        assert found(headers, role="gate", venue="west-lake") == ["5678"]
        assert len(found(headers)) == 4


def test_an_auditor_changes_nothing(client: Client, sign_in: SignIn, anna: Headers, ben: Headers) -> None:
    auditor, grant = sign_in("13912345680", roles=["auditor"]), propose(client, anna).json()["id"]
    assert propose(client, auditor).status_code == approve(client, auditor, grant).status_code == 403
    assert withdraw(client, auditor, account_of(client, ben), "operator").status_code == 403
    assert [one["id"] for one in client.get("/v1/staff/grants", headers=auditor).json()["grants"]] == [grant]


def test_a_bulk_of_grants_is_proposed_and_approved_row_by_row(client: Client, anna: Headers, ben: Headers) -> None:
    good = [
        {"phone": f"1391234{i:04}", "roles": ["gate"], "venues": ["west-lake"], "reason": "入职"} for i in range(40)
    ]
    bad = [
        {"phone": "12", "roles": ["gate"], "reason": "入职"} | {"phone": "12345"},
        {"phone": ZHANG, "roles": ["emperor"], "reason": "入职"},
        {"phone": ANNA, "roles": ["gate"], "reason": "入职"},
    ]
    answer = client.post("/v1/staff/grants/batches", json={"grants": [*bad, *good]}, headers=anna)
    results = answer.json()["results"]
    assert [one["outcome"] for one in results] == ["refused"] * 3 + ["proposed"] * 40
    kinds = [one["refusal"]["type"] for one in results[:3]]
    assert kinds == ["/problems/invalid-phone", "/problems/invalid-request", "/problems/own-grant"]
    grants = [one["id"] for one in results[3:]]
    approved = client.post("/v1/staff/grants/approvals", json={"grants": [*grants, "x.y"]}, headers=ben).json()[
        "results"
    ]
    assert [one["outcome"] for one in approved] == ["approved"] * 40 + ["refused"]
    assert len(client.get("/v1/staff", params={"role": "gate"}, headers=anna).json()["staff"]) == 40


def test_a_bulk_has_at_most_five_hundred_rows(client: Client, anna: Headers) -> None:
    row = {"phone": ZHANG, "roles": ["gate"], "reason": "入职"}
    body = {"grants": [row] * (MAX_ROWS + 1)}
    assert client.post("/v1/staff/grants/batches", json=body, headers=anna).status_code == 400


def test_only_operators_decide_on_roles(client: Client, sign_in: SignIn, anna: Headers) -> None:
    grant = propose(client, anna).json()["id"]
    for headers in (sign_in("13912345680"), sign_in("13912345681", roles=["health_officer", "gate", "approver"])):
        for answer in (
            propose(client, headers),
            approve(client, headers, grant),
            withdraw(client, headers, "x", "gate"),
        ):
            refused(answer, 403, "not-allowed")
        assert client.get("/v1/staff", headers=headers).status_code == 403
