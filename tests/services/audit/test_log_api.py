"""People see who read theirs, auditors see all, and anyone verifies a day with public keys alone."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.security.keyring import VerifiedToken, verify_token
from backend.security.merkle import leaf_hash, root_by_path
from backend.services.audit.tasks import sweep_acts, sweep_machine_acts
from tests.conftest import Clock, SignIn

Client = TestClient[Litestar]
Headers = dict[str, str]
WANG, LI, OPERATOR, AUDITOR = "13900000011", "13900000012", "13800000011", "13800000012"


@pytest.fixture
def sweep(client: Client) -> Callable[[], None]:
    """Return the function that chains all entries, as a sweep does within seconds."""

    def run() -> None:
        assert client.blocking_portal is not None
        client.blocking_portal.call(sweep_acts, client.app.state.city)

    return run


@pytest.fixture
def wang(sign_in: SignIn) -> Headers:
    return sign_in(WANG, name="王小明")


@pytest.fixture
def operator(sign_in: SignIn) -> Headers:
    return sign_in(OPERATOR, roles=("operator",))


@pytest.fixture
def auditor(sign_in: SignIn) -> Headers:
    return sign_in(AUDITOR, roles=("auditor",))


def look_up(client: Client, operator: Headers, phone: str = WANG) -> str:
    answer = client.post("/v1/accounts/lookups", json={"phone": phone}, headers=operator)
    return answer.json().get("id", "")


def own(client: Client, person: Headers) -> list[dict[str, Any]]:
    answer = client.get("/v1/me/audit", headers=person)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()["entries"]


def test_a_person_sees_who_read_their_account_by_role_and_authority_and_not_by_name(
    client: Client, wang: Headers, operator: Headers
) -> None:
    assert own(client, wang) == []
    look_up(client, operator)
    (entry,) = own(client, wang)
    assert (entry["action"], entry["role"]) == ("account.looked_up", "operator")
    assert entry["authority"] == {"zh": "城市平台运营部门", "en": "The city's operators"}
    assert entry["text"] == {"zh": "按手机号查询了您的账户", "en": "Looked up your account by your phone"}
    officer = client.get("/v1/me", headers=operator).json()["id"]
    assert officer not in json.dumps(entry)


def test_others_see_nothing_of_it(client: Client, wang: Headers, operator: Headers, sign_in: SignIn) -> None:
    look_up(client, operator)
    li = sign_in(LI, name="李雷")
    assert own(client, li) == []
    (entry,) = own(client, wang)
    assert client.get(f"/v1/me/audit/{entry['id']}/proof", headers=li).status_code == 404


def test_whoever_is_not_verified_yet_sees_who_looked_up_their_account(
    client: Client, operator: Headers, sign_in: SignIn
) -> None:
    li = sign_in(LI)
    look_up(client, operator, LI)
    assert len(own(client, li)) == 1
    li = sign_in(LI, name="李雷")
    look_up(client, operator, LI)
    assert len(own(client, li)) == 2


def test_a_search_for_a_phone_without_account_is_recorded_too(
    client: Client, operator: Headers, auditor: Headers
) -> None:
    assert look_up(client, operator, LI) == ""
    entries = client.get("/v1/audit/entries?action=account.looked_up", headers=auditor).json()["entries"]
    assert len(entries) == 1
    assert LI not in json.dumps(entries)


def test_the_entries_about_a_person_come_in_pages_newest_first(
    client: Client, wang: Headers, operator: Headers, clock: Clock
) -> None:
    for _ in range(60):
        clock.now += timedelta(milliseconds=500)
        look_up(client, operator)
    first = client.get("/v1/me/audit", headers=wang).json()
    second = client.get("/v1/me/audit", params={"cursor": first["cursor"]}, headers=wang).json()
    assert (len(first["entries"]), len(second["entries"]), second["cursor"]) == (50, 10, None)
    times = [datetime.fromisoformat(entry["at"]) for entry in [*first["entries"], *second["entries"]]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 60


def test_an_auditor_finds_entries_by_day_account_object_and_action(
    client: Client, wang: Headers, operator: Headers, auditor: Headers, sweep: Callable[[], None]
) -> None:
    account = look_up(client, operator)
    sweep()
    officer = client.get("/v1/me", headers=operator).json()["id"]
    person = client.get("/v1/audit/entries?action=account.looked_up", headers=auditor).json()["entries"][0]["person"]
    for query in ("day=2022-04-20", f"account={officer}", f"about={person}", "action=account.looked_up"):
        found = client.get(f"/v1/audit/entries?{query}", headers=auditor).json()["entries"]
        looked_up = next(entry for entry in found if entry["action"] == "account.looked_up")
        assert (looked_up["about"], looked_up["role"], looked_up["block"]) == (account, "operator", 1)
    assert client.get("/v1/audit/entries?day=2022-04-20&account=x", headers=auditor).status_code == 400
    assert wang


def test_reading_the_log_is_in_the_log_and_the_person_sees_it(
    client: Client, wang: Headers, operator: Headers, auditor: Headers, clock: Clock
) -> None:
    look_up(client, operator)
    person = client.get("/v1/audit/entries?action=account.looked_up", headers=auditor).json()["entries"][0]["person"]
    clock.now += timedelta(seconds=1)
    client.get(f"/v1/audit/entries?about={person}", headers=auditor)
    assert [entry["action"] for entry in own(client, wang)] == ["audit.read", "account.looked_up"]


@pytest.mark.parametrize("role", ["operator", "gate", "health_officer", "talent_officer", "approver"])
def test_only_auditors_read_the_log(client: Client, sign_in: SignIn, role: str) -> None:
    assert client.get("/v1/audit/entries", headers=sign_in(LI, roles=(role,))).status_code == 403


def test_the_root_of_a_day_and_the_proof_of_an_entry_are_verified_with_public_keys_alone(
    client: Client, wang: Headers, operator: Headers, clock: Clock, sweep: Callable[[], None]
) -> None:
    for phone in (WANG, LI, LI, WANG, LI):
        look_up(client, operator, phone)
        sweep()
    entry = own(client, wang)[0]
    assert client.get(f"/v1/me/audit/{entry['id']}/proof", headers=wang).status_code == 409
    clock.now += timedelta(minutes=1)
    sweep()
    assert client.get("/v1/audit/days/2022-04-20").status_code == 404
    clock.now += timedelta(days=1)
    sweep()
    proof = client.get(f"/v1/me/audit/{entry['id']}/proof", headers=wang_again(client, WANG)).json()
    day = client.get("/v1/audit/days/2022-04-20").json()
    assert client.get("/v1/audit/days").json()["days"] == [day]
    keys = client.get("/.well-known/audit-jwks.json").json()
    token = verify_token(proof["statement"], keys)
    assert isinstance(token, VerifiedToken)
    statement = json.loads(token.claims)
    assert (statement["aud"], statement["day"], statement["day_size"]) == ("audit-day", "2022-04-20", 5)
    assert leaf_hash(proof["content"].encode()).hex() == proof["leaf"]
    path = [bytes.fromhex(step) for step in proof["path"]]
    root = root_by_path(bytes.fromhex(proof["leaf"]), proof["index"], proof["size"], path)
    assert root is not None
    assert root.hex() == statement["root"] == day["root"]
    assert proof["statement"] == day["statement"]


def wang_again(client: Client, phone: str) -> Headers:
    """Return the headers of somebody whose access token has expired."""
    sign_in = SignIn(client)
    return sign_in(phone)


def test_the_statement_of_a_day_names_that_of_the_day_before(
    client: Client, operator: Headers, clock: Clock, sweep: Callable[[], None], sign_in: SignIn
) -> None:
    for _ in range(2):
        look_up(client, sign_in(OPERATOR))
        sweep()
        clock.now += timedelta(days=1)
        sweep()
    newest, oldest = client.get("/v1/audit/days").json()["days"]
    token = verify_token(newest["statement"], client.get("/.well-known/audit-jwks.json").json())
    assert isinstance(token, VerifiedToken)
    assert json.loads(token.claims)["previous_day"] == hashlib.sha256(oldest["statement"].encode()).hexdigest()
    assert operator


def test_the_head_of_the_log_is_signed(client: Client, operator: Headers, sweep: Callable[[], None]) -> None:
    assert client.get("/v1/audit/head").json() == {"number": None, "size": None, "statement": None}
    look_up(client, operator)
    sweep()
    head = client.get("/v1/audit/head").json()
    assert (head["number"], head["size"]) == (1, 1)
    assert isinstance(verify_token(head["statement"], client.app.state.city.keys.jwks("audit")), VerifiedToken)


def test_the_keys_of_the_city_are_in_the_log(client: Client, auditor: Headers) -> None:
    assert client.blocking_portal is not None
    client.blocking_portal.call(sweep_machine_acts, client.app.state.city)
    made = client.get("/v1/audit/entries?action=keys.made", headers=auditor).json()["entries"]
    assert {entry["about"].split()[0] for entry in made} == {"code", "token", "field", "lookup", "audit"}
    assert {(entry["account"], entry["role"]) for entry in made} == {("city", "city")}
