"""Accounts: identity verification, the main phone, roles, and what the store holds of them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from stdnum.cn import ric

from tests.conftest import Clock, SignIn, id_number_for, newest_code

Client = TestClient[Litestar]
ANNA, BEN = "13912345678", "13912345002"
OF_ANNA = {"name": "欧阳安娜", "id_number": id_number_for(ANNA)}


def verify(client: Client, headers: dict[str, str], **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return client.put("/v1/me/real-name", json=OF_ANNA | body, headers=headers)


def refused(answer: httpx.Response, status: int, name: str, pointer: str | None = None) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_verifying_an_identity_makes_a_citizen_and_shows_it_masked(client: Client, sign_in: SignIn) -> None:
    answer = verify(client, sign_in(ANNA)).json()
    assert answer["account"]["identity_verified"] is True
    assert answer["account"]["name"] == "***娜"
    assert re.fullmatch(r"3\*{16}[\dX]", answer["account"]["id_number"])
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    assert client.get("/v1/me/health-code", headers=headers).status_code == 200


def test_without_a_verified_identity_there_is_no_health_code(client: Client, sign_in: SignIn) -> None:
    refused(client.get("/v1/me/health-code", headers=sign_in(ANNA)), 403, "step-up-required")


def test_verifying_the_same_identity_again_gives_the_same_answer(client: Client, sign_in: SignIn) -> None:
    headers = sign_in(ANNA)
    first, second = verify(client, headers), verify(client, headers)
    assert first.json()["account"] == second.json()["account"]


def test_an_identity_is_verified_once(client: Client, sign_in: SignIn) -> None:
    headers = sign_in(ANNA)
    verify(client, headers)
    refused(verify(client, headers, name="李四"), 409, "identity-already-verified")
    refused(verify(client, headers, id_number=id_number_for(BEN)), 409, "identity-already-verified")
    assert verify(client, headers).status_code == 200


def test_one_id_number_has_one_account(client: Client, sign_in: SignIn) -> None:
    verify(client, sign_in(ANNA))
    refused(verify(client, sign_in(BEN)), 403, "identity-not-proved")
    assert client.get("/v1/me", headers=sign_in(BEN)).json()["identity_verified"] is False


def test_sex_and_birth_date_must_agree_with_the_id_number(client: Client, sign_in: SignIn) -> None:
    headers = sign_in(ANNA)
    female = int(OF_ANNA["id_number"][16]) % 2 == 0
    right, wrong = ("female", "male") if female else ("male", "female")
    refused(verify(client, headers, sex=wrong), 400, "identity-mismatch", "/sex")
    refused(verify(client, headers, born_on="1990-03-08"), 400, "identity-mismatch", "/born_on")
    assert client.get("/v1/me", headers=headers).json()["identity_verified"] is False
    assert verify(client, headers, sex=right, born_on="1990-03-07").status_code == 200


@pytest.mark.parametrize("name", ["张三", "阿卜杜拉·买买提", "Anna O'Neill-Smith", "㐀㐁"])
def test_names_of_many_kinds_are_accepted(client: Client, sign_in: SignIn, name: str) -> None:
    assert verify(client, sign_in(ANNA), name=name).status_code == 200


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(f"阿卜杜热西提{dot}买买提", "阿卜杜热西提·买买提") for dot in ("・", "．", ".", "‧", "∙", "⋅", " · ")]
    + [("张 三", "张三"), ("张", "张"), ("\ue863", "䶮")],
)
def test_a_name_is_kept_as_the_document_shows_it_however_it_is_typed(
    client: Client, sign_in: SignIn, typed: str, kept: str
) -> None:
    headers = sign_in(ANNA)
    answer = verify(client, headers, name=typed)
    assert (answer.status_code, answer.json()["account"]["name"][-1]) == (200, kept[-1] if len(kept) > 1 else "*")
    assert verify(client, headers, name=kept).status_code == 200, "it is the same name"
    refused(verify(client, headers, name=f"{kept}·李"), 409, "identity-already-verified")


@pytest.mark.parametrize(
    "typed", ["330106 19900307 0022", "33010619900307009Ｘ", "３３０１０６１９９００３０７００２２"]
)
def test_an_id_number_is_accepted_as_phones_give_it(client: Client, sign_in: SignIn, typed: str) -> None:
    assert verify(client, sign_in(ANNA), id_number=typed).status_code == 200


@pytest.mark.parametrize("name", ["张3", "<b>张</b>", "😀😀", "  ", "·张", "张\n三\x00"])
def test_a_name_that_no_identity_card_can_show_is_refused(client: Client, sign_in: SignIn, name: str) -> None:
    refused(verify(client, sign_in(ANNA), name=name), 400, "invalid-name", "/name")


@pytest.mark.parametrize("number", ["330106199003070011", "330106199013070013", "33010620990307001X", "x" * 18])
def test_an_id_number_that_was_never_issued_is_refused(client: Client, sign_in: SignIn, number: str) -> None:
    refused(verify(client, sign_in(ANNA), id_number=number), 400, "invalid-id-number", "/id_number")


def test_a_child_born_today_in_the_city_can_be_verified_before_the_day_begins_in_utc(
    client: Client, sign_in: SignIn, clock: Clock
) -> None:
    clock.now = datetime(2022, 4, 19, 16, 30, tzinfo=UTC)  # half past midnight of 20 April in the city
    born_today = "33010620220420001"
    number = born_today + ric.calc_check_digit(born_today + "0")
    assert verify(client, sign_in(ANNA), id_number=number).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"citizen_id": "1"}, "/citizen_id"),
        ({"revision": 7}, "/revision"),
        ({"roles": ["operator"]}, "/roles"),
        ({"name": 7}, "/name"),
        ({"name": "张" * 61}, "/name"),
        ({"sex": "other"}, "/sex"),
        ({"born_on": "yesterday"}, "/born_on"),
    ],
)
def test_nothing_else_can_be_set_when_verifying_an_identity(
    client: Client, sign_in: SignIn, body: dict[str, Any], pointer: str
) -> None:
    refused(verify(client, sign_in(ANNA), **body), 400, "invalid-request", pointer)


# ── the main phone ──


def proof_of(client: Client, phone: str) -> dict[str, str]:
    """Return what shows that somebody holds a phone: a challenge, and the code that was sent to it."""
    answer = client.post("/v1/sign-in-codes", json={"phone": phone})
    assert answer.status_code == 202
    return {"phone": phone, "challenge": answer.json()["challenge"], "code": newest_code(client, phone)}


def old_proof(client: Client, phone: str) -> dict[str, str]:
    """Return the proof that the main phone is still at hand, as a change of it needs."""
    proof = proof_of(client, phone)
    return {"old_challenge": proof["challenge"], "old_code": proof["code"]}


def test_a_new_phone_needs_its_own_code_and_then_signs_in(client: Client, sign_in: SignIn, clock: Clock) -> None:
    headers, new = sign_in(ANNA), "13912340000"
    account = client.get("/v1/me", headers=headers).json()
    clock.now += timedelta(minutes=2)
    proof = old_proof(client, ANNA) | proof_of(client, new)
    wrong = proof | {"code": f"{(int(proof['code']) + 1) % 10**6:06}"}
    refused(client.put("/v1/me/phone", json=wrong, headers=headers), 400, "wrong-code")
    clock.now += timedelta(minutes=2)
    proof = old_proof(client, ANNA) | proof_of(client, new)  # the code of the old phone was used up
    assert client.put("/v1/me/phone", json=proof, headers=headers).status_code == 200
    clock.now += timedelta(minutes=2)
    body = proof_of(client, new)
    assert client.post("/v1/sessions", json=body).json()["account_id"] == account["id"]
    body = proof_of(client, ANNA)
    assert client.post("/v1/sessions", json=body).json()["account_id"] != account["id"]


def test_a_phone_is_the_main_phone_of_one_account(client: Client, sign_in: SignIn, clock: Clock) -> None:
    headers = sign_in(ANNA)
    sign_in(BEN)
    clock.now += timedelta(minutes=2)
    body = old_proof(client, ANNA) | proof_of(client, BEN)
    refused(client.put("/v1/me/phone", json=body, headers=headers), 409, "phone-in-use")


# ── roles ──


def test_an_unknown_account_is_not_found(client: Client, sign_in: SignIn) -> None:
    operator = sign_in("13800000003", roles=["operator"])
    refused(client.post("/v1/accounts/lookups", json={"phone": "13912340009"}, headers=operator), 404, "not-found")


# ── privacy ──


def test_neither_phone_nor_id_number_nor_name_is_readable_in_the_store(
    client: Client, sign_in: SignIn, stored_bytes: Callable[[], bytes]
) -> None:
    verify(client, sign_in(ANNA))
    stored = stored_bytes()
    assert b"phone_digest" in stored, "it is the store that was read"
    for secret in (ANNA, OF_ANNA["id_number"], OF_ANNA["name"]):
        assert secret.encode() not in stored


def test_the_verification_keys_are_public(client: Client) -> None:
    answer = client.get("/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert [sorted(key) for key in answer.json()["keys"]] == [["alg", "crv", "kid", "kty", "use", "x"]]
