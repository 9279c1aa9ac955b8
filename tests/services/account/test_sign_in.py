"""Sign-in by phone and code, as apps use it and as attackers try it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.service import City
from backend.services.account.model.account import InvalidPhone, parse_phone
from backend.services.account.model.session import Session
from backend.services.account.sessions import renew_session
from tests.conftest import Clock, newest_code

Client = TestClient[Litestar]
ANNA = "13912345678"
WRONG = "000000"
NO_CHALLENGE = "x" * 22

_challenges: dict[str, str] = {}
"""The last challenge of each phone."""


@pytest.fixture(autouse=True)
def empty_outbox() -> None:
    from integrations.sms import sandbox

    sandbox._outbox.clear()
    _challenges.clear()


def ask_for_code(client: Client, phone: str = ANNA) -> httpx.Response:
    answer = client.post("/v1/sign-in-codes", json={"phone": phone})
    if answer.status_code == 202:
        _challenges[phone] = answer.json()["challenge"]
    return answer


def messages(client: Client, phone: str = ANNA) -> Sequence[str]:
    return client.post("/v1/development/outbox", json={"phone": phone}).json()["messages"]


def sign_in(client: Client, code: str, phone: str = ANNA, challenge: str | None = None) -> httpx.Response:
    challenge = challenge or _challenges.get(phone, NO_CHALLENGE)
    return client.post("/v1/sessions", json={"phone": phone, "challenge": challenge, "code": code})


def another(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def signed_in(client: Client, phone: str = ANNA) -> dict[str, Any]:
    ask_for_code(client, phone)
    return sign_in(client, newest_code(client, phone), phone).json()


def eight_at_once(app: Litestar, client: Client, path: str, body: dict[str, str]) -> list[httpx.Response]:
    async def post() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as apps:
            return await asyncio.gather(*(apps.post(path, json=body) for _ in range(8)))

    return client.blocking_portal.call(post)


def refused(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text


def test_a_code_by_text_message_opens_a_session(client: Client) -> None:
    sent = ask_for_code(client).json()
    assert sent == {"challenge": sent["challenge"], "expires_in_seconds": 300, "resend_in_seconds": 60}
    answer = sign_in(client, newest_code(client, ANNA))
    assert answer.status_code == 201
    tokens = answer.json()
    assert (tokens["expires_in_seconds"], tokens["identity_verified"]) == (900, False)
    me = client.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()
    assert (me["id"], me["phone"], me["roles"]) == (tokens["account_id"], "+86139****5678", [])


def test_signing_in_again_leads_to_the_same_account(client: Client, clock: Clock) -> None:
    first = signed_in(client)
    clock.now += timedelta(minutes=2)
    assert signed_in(client)["account_id"] == first["account_id"]


@pytest.mark.parametrize(
    ("accept_language", "message"),
    [
        ("zh-CN", "【城码】验证码{code}，5分钟内有效。工作人员不会索要，请勿告诉他人。"),
        ("en", "[Chengma] Your code is {code}, valid for 5 minutes. Our staff never ask for it; do not share it."),
    ],
)
def test_the_text_message_is_in_the_language_of_the_request(client: Client, accept_language: str, message: str) -> None:
    client.post("/v1/sign-in-codes", json={"phone": ANNA}, headers={"Accept-Language": accept_language})
    assert list(messages(client)) == [message.format(code=newest_code(client, ANNA))]
    assert len(message) <= 160


@pytest.mark.parametrize(
    "phone",
    [
        "13912345678",
        "+86 139 1234 5678",
        "+8613912345678",
        "139-1234-5678",
        "8613912345678",
        "0086 139 1234 5678",
        "１３９１２３４５６７８",
        "＋86 139–1234–5678",
        "\u202d139 1234 5678\u202c",
        "(+86) 139 1234 5678",
    ],
)
def test_a_phone_may_be_written_in_several_ways(client: Client, phone: str) -> None:
    ask_for_code(client, phone)
    assert len(messages(client, "+8613912345678")) == 1


@pytest.mark.parametrize("prefix", ["149", "140", "154", "169", "174", "194", "192", "173", "199"])
def test_chinese_phones_are_accepted_before_their_prefix_is_in_any_library(client: Client, prefix: str) -> None:
    for written in (f"{prefix}12345678", f"+86 {prefix} 1234 5678", f"86{prefix}12345678", f"0086{prefix}12345678"):
        assert parse_phone(written, "CN") == f"+86{prefix}12345678"
    assert ask_for_code(client, f"{prefix}12345678").status_code == 202
    assert len(messages(client, f"+86{prefix}12345678")) == 1


def test_phones_of_other_places_are_accepted_with_their_prefix() -> None:
    for written in ("+852 9123 4567", "+853 6612 3456", "+886 912 345 678", "+44 7400 123456", "0044 7400 123456"):
        e164 = written.replace("00", "+", 1) if written.startswith("00") else written
        assert parse_phone(written, "CN") == e164.replace(" ", "")


def test_a_number_without_prefix_is_of_the_citys_own_region() -> None:
    assert parse_phone("+86 149 1234 5678", "HK") == "+8614912345678"
    assert parse_phone("9123 4567", "HK") == "+85291234567"
    with pytest.raises(InvalidPhone):
        parse_phone("14912345678", "HK")


@pytest.mark.parametrize(
    "phone", ["12912345678", "1491234567", "149123456789", "+86 249 1234 5678", "+852 2123 4567", "٠٤٩١٢٣٤٥٦٧٨"]
)
def test_what_is_no_mobile_phone_anywhere_is_refused(phone: str) -> None:
    with pytest.raises(InvalidPhone):
        parse_phone(phone, "CN")


@pytest.mark.parametrize("phone", ["12345", "0571-87654321", "+861391234567", "phone number", "+" * 20])
def test_an_invalid_mobile_phone_is_refused_with_its_pointer(client: Client, phone: str) -> None:
    answer = ask_for_code(client, phone)
    refused(answer, 400, "invalid-phone")
    assert answer.json()["errors"][0]["pointer"] == "/phone"


def test_the_answer_does_not_disclose_whether_a_phone_has_an_account(client: Client, clock: Clock) -> None:
    signed_in(client)
    clock.now += timedelta(minutes=2)
    known, unknown = ask_for_code(client, ANNA), ask_for_code(client, "13912340000")
    assert known.status_code == unknown.status_code
    assert known.json() | {"challenge": ""} == unknown.json() | {"challenge": ""}
    known, unknown = sign_in(client, WRONG, "13912349999"), sign_in(client, another(newest_code(client, ANNA)))
    assert known.status_code == unknown.status_code == 400
    assert known.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


def test_a_wrong_code_is_refused_and_the_correct_one_is_still_valid(client: Client) -> None:
    ask_for_code(client)
    code = newest_code(client, ANNA)
    refused(sign_in(client, another(code)), 400, "wrong-code")
    assert sign_in(client, code).status_code == 201


def test_a_code_is_valid_once(client: Client) -> None:
    ask_for_code(client)
    code = newest_code(client, ANNA)
    assert sign_in(client, code).status_code == 201
    refused(sign_in(client, code), 400, "wrong-code")


def test_a_code_is_valid_for_five_minutes(client: Client, clock: Clock) -> None:
    ask_for_code(client)
    clock.now += timedelta(minutes=5)
    refused(sign_in(client, newest_code(client, ANNA)), 400, "wrong-code")


def test_each_code_belongs_to_its_own_challenge(client: Client, clock: Clock) -> None:
    first = ask_for_code(client).json()["challenge"]
    old = newest_code(client, ANNA)
    clock.now += timedelta(minutes=2)
    ask_for_code(client)
    new = newest_code(client, ANNA)
    if old != new:
        refused(sign_in(client, old), 400, "wrong-code")
    assert sign_in(client, new).status_code == 201
    assert sign_in(client, old, challenge=first).status_code == 201


def test_a_code_of_another_phone_is_refused(client: Client) -> None:
    ask_for_code(client, ANNA)
    ask_for_code(client, "13912340000")
    if newest_code(client, ANNA) != newest_code(client, "13912340000"):
        refused(sign_in(client, newest_code(client, "13912340000"), ANNA), 400, "wrong-code")


def test_a_code_is_exhausted_after_five_attempts(client: Client) -> None:
    ask_for_code(client)
    code = newest_code(client, ANNA)
    for _ in range(5):
        refused(sign_in(client, another(code)), 400, "wrong-code")
    refused(sign_in(client, code), 429, "code-exhausted")


def test_at_most_five_of_thirty_two_concurrent_guesses_are_checked(app: Litestar, client: Client) -> None:
    ask_for_code(client)
    wrong = another(newest_code(client, ANNA))

    async def guess() -> list[int]:
        transport = httpx.ASGITransport(app=cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as guesser:
            body = {"phone": ANNA, "challenge": _challenges[ANNA], "code": wrong}
            answers = await asyncio.gather(*(guesser.post("/v1/sessions", json=body) for _ in range(32)))
            return [answer.status_code for answer in answers]

    statuses = client.blocking_portal.call(guess)
    assert (statuses.count(400), statuses.count(429)) == (5, 27)


def test_another_code_is_sent_after_a_minute_and_four_an_hour(client: Client, clock: Clock) -> None:
    assert ask_for_code(client).status_code == 202
    early = ask_for_code(client)
    refused(early, 429, "too-many-requests")
    assert 1 <= int(early.headers["Retry-After"]) <= 61
    for _ in range(3):
        clock.now += timedelta(seconds=61)
        assert ask_for_code(client).status_code == 202
    clock.now += timedelta(seconds=61)
    late = ask_for_code(client)
    refused(late, 429, "too-many-requests")
    assert 3_300 < int(late.headers["Retry-After"]) <= 3_600
    clock.now += timedelta(hours=1)
    assert ask_for_code(client).status_code == 202


def test_one_of_eight_concurrent_requests_gets_a_code(app: Litestar, client: Client) -> None:
    answers = eight_at_once(app, client, "/v1/sign-in-codes", {"phone": ANNA})
    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 7
    assert {int(answer.headers["Retry-After"]) for answer in answers if answer.status_code == 429} <= {60, 61}
    assert len(messages(client)) == 1


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "１２３４５６", "", 123456])
def test_an_invalid_code_is_refused_with_its_pointer(client: Client, code: object) -> None:
    answer = client.post("/v1/sessions", json={"phone": ANNA, "challenge": NO_CHALLENGE, "code": code})
    refused(answer, 400, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "/code"


# ── sessions ──


def refresh(client: Client, token: str) -> httpx.Response:
    return client.post("/v1/sessions/refresh", json={"refresh_token": token})


def test_a_refresh_token_is_exchanged_for_new_tokens(client: Client) -> None:
    first = signed_in(client)
    second = refresh(client, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["account_id"] == first["account_id"]
    assert refresh(client, second["refresh_token"]).status_code == 201


def test_a_refresh_token_used_twice_ends_the_session_for_thief_and_owner(client: Client) -> None:
    first = signed_in(client)
    second = refresh(client, first["refresh_token"]).json()
    refused(refresh(client, first["refresh_token"]), 401, "session-ended")
    refused(refresh(client, second["refresh_token"]), 401, "session-ended")


def test_an_ended_session_asks_to_sign_in(client: Client) -> None:
    assert refresh(client, "x" * 20).headers["WWW-Authenticate"] == "Bearer"


def test_one_of_eight_concurrent_refreshes_gets_tokens(app: Litestar, client: Client) -> None:
    body = {"refresh_token": signed_in(client)["refresh_token"]}
    answers = eight_at_once(app, client, "/v1/sessions/refresh", body)
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 7


def test_the_session_goes_on_for_the_faster_of_two_concurrent_refreshes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    city: City = client.app.state.city
    token = signed_in(client)["refresh_token"]
    faster: list[str] = []
    replace_document = city.store.replace

    async def overtaken(session: Session) -> Session:
        monkeypatch.undo()
        faster.append((await renew_session(city, token))[1])
        return await replace_document(session)

    monkeypatch.setattr(city.store, "replace", overtaken)
    refused(refresh(client, token), 401, "session-ended")
    assert refresh(client, faster[0]).status_code == 201


def test_signing_out_ends_a_session_that_is_refreshed_at_the_same_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    city: City = client.app.state.city
    tokens = signed_in(client)
    refreshed: list[str] = []
    delete_document = city.store.delete

    async def overtaken(session: Session) -> None:
        monkeypatch.undo()
        refreshed.append((await renew_session(city, tokens["refresh_token"]))[1])
        await delete_document(session)

    monkeypatch.setattr(city.store, "delete", overtaken)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.delete("/v1/sessions/current", headers=headers).status_code == 204
    refused(refresh(client, refreshed[0]), 401, "session-ended")


def test_another_device_of_the_same_account_stays_signed_in(client: Client, clock: Clock) -> None:
    phone = signed_in(client)
    clock.now += timedelta(minutes=2)
    tablet = signed_in(client)
    refresh(client, phone["refresh_token"])
    refused(refresh(client, phone["refresh_token"]), 401, "session-ended")
    assert refresh(client, tablet["refresh_token"]).status_code == 201


def test_a_refresh_token_is_valid_for_thirty_days(client: Client, clock: Clock) -> None:
    tokens = signed_in(client)
    clock.now += timedelta(days=30)
    refused(refresh(client, tokens["refresh_token"]), 401, "session-ended")


@pytest.mark.parametrize("token", ["x" * 20, "no.such.session", "." * 12, "城" * 12])
def test_an_invented_refresh_token_is_refused(client: Client, token: str) -> None:
    refused(refresh(client, token), 401, "session-ended")


def test_access_and_refresh_tokens_cannot_replace_each_other(client: Client) -> None:
    tokens = signed_in(client)
    assert refresh(client, tokens["access_token"][:200]).status_code == 401
    answer = client.get("/v1/me", headers={"Authorization": f"Bearer {tokens['refresh_token']}"})
    refused(answer, 401, "not-signed-in")


def test_a_session_cannot_be_refreshed_after_signing_out(client: Client) -> None:
    tokens = signed_in(client)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.delete("/v1/sessions/current", headers=headers).status_code == 204
    refused(refresh(client, tokens["refresh_token"]), 401, "session-ended")
    assert client.delete("/v1/sessions/current", headers=headers).status_code == 204
