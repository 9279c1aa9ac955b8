"""Devices are keys that apps register, and only they can refresh their sessions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.services.account.model.account import Account, is_silent, phone_proves_owner, used_account, without_device
from backend.services.account.model.device import MAX_DEVICES, SILENCE, USE_RECORDED_SINCE, knows_device
from backend.services.account.model.session import Session
from tests.conftest import Clock, newest_code
from tests.security.proofs import Device

Client = TestClient[Litestar]
PHONE = "13912345678"
CODES, SESSIONS, REFRESH = "/v1/sign-in-codes", "/v1/sessions", "/v1/sessions/refresh"
NOW = USE_RECORDED_SINCE + timedelta(days=10)


@pytest.fixture(params=["EdDSA", "ES256"])
def device(request: pytest.FixtureRequest) -> Device:
    return Device(request.param)


def challenged(client: Client, phone: str = PHONE) -> dict[str, str]:
    challenge = client.post(CODES, json={"phone": phone}).json()["challenge"]
    return {"phone": phone, "challenge": challenge, "code": newest_code(client, phone)}


def sign_in(client: Client, clock: Clock, device: Device, phone: str = PHONE, **body: str) -> httpx.Response:
    body = challenged(client, phone) | body
    proof = device.proof(SESSIONS, clock.now.timestamp(), nonce=body["challenge"])
    answer = client.post(SESSIONS, json=body, headers=proof)
    assert answer.status_code == 201, answer.text
    return answer


def refresh(client: Client, token: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return client.post(REFRESH, json={"refresh_token": token}, headers=headers)


def refused(answer: httpx.Response, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (401, f"/problems/{name}"), answer.text


def account_of(client: Client, account_id: str) -> Account:
    account = client.blocking_portal.call(client.app.state.city.store.get, Account, account_id)
    assert account is not None
    return account


# ── the key ──


def test_signing_in_with_a_proof_registers_the_device(client: Client, clock: Clock, device: Device) -> None:
    tokens = sign_in(client, clock, device, device_name="小明的手机", device_kind="phone").json()
    account = account_of(client, tokens["account_id"])
    assert [one.added for one in account.devices] == [clock.now]
    session_id = tokens["refresh_token"].partition(".")[0]
    session = client.blocking_portal.call(client.app.state.city.store.get, Session, session_id)
    assert session is not None
    assert (session.device, session.device_name, session.device_kind) == (
        account.devices[0].id,
        "小明的手机",
        "phone",
    )
    assert session.created == session.last_used == clock.now


def test_the_thumbprint_of_a_key_is_that_of_rfc_8037() -> None:
    from backend.security.request_proofs import parse_public_key

    example = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert parse_public_key(example).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def other_proofs(device: Device, at: float, challenge: str) -> dict[str, str]:
    """Return proofs that an attacker or a faulty app could send at sign-in."""
    right: dict[str, Any] = {"nonce": challenge}
    header: dict[str, Any] = {"jwk": device.jwk}
    fresh = device.proof(SESSIONS, at, **right)["DPoP"]
    signed, _, signature = fresh.rpartition(".")
    return {
        "another challenge": device.proof(SESSIONS, at, nonce="x" * 22)["DPoP"],
        "no challenge": device.proof(SESSIONS, at)["DPoP"],
        "another path": device.proof(REFRESH, at, **right)["DPoP"],
        "another method": device.proof(SESSIONS, at, "GET", **right)["DPoP"],
        "old": device.proof(SESSIONS, at - 301, **right)["DPoP"],
        "of the future": device.proof(SESSIONS, at + 301, **right)["DPoP"],
        "without an id": device.proof(SESSIONS, at, jti="", **right)["DPoP"],
        "an id that is a number": device.proof(SESSIONS, at, jti=7, **right)["DPoP"],
        "a long id": device.proof(SESSIONS, at, jti="x" * 101, **right)["DPoP"],
        "another type": device.signed("JWT", SESSIONS, at, "POST", header, right),
        "without a key": device.signed("dpop+jwt", SESSIONS, at, "POST", {}, right),
        "a private key": device.signed("dpop+jwt", SESSIONS, at, "POST", {"jwk": device.jwk | {"d": "x"}}, right),
        "a broken key": device.signed("dpop+jwt", SESSIONS, at, "POST", {"jwk": device.jwk | {"x": "x"}}, right),
        "the key of another": device.signed(
            "dpop+jwt", SESSIONS, at, "POST", {"jwk": Device(device.algorithm).jwk}, right
        ),
        "another curve": device.signed("dpop+jwt", SESSIONS, at, "POST", {"jwk": device.jwk | {"crv": "P-384"}}, right),
        "a changed signature": f"{signed}.{signature[:-6]}AAAAAA",
        "no signature": f"{signed}.",
        "no JWT": "proof",
        "empty": "",
        "too long": fresh + "A" * 3_000,
        "of deep nesting": "[" * 1_500,
    }


def test_a_proof_that_does_not_fit_the_request_is_refused(client: Client, clock: Clock, device: Device) -> None:
    body = challenged(client)
    for name, proof in other_proofs(device, clock.now.timestamp(), body["challenge"]).items():
        answer = client.post(SESSIONS, json=body, headers={"DPoP": proof})
        assert answer.status_code == 401, name
        assert (answer.json()["type"], answer.json()["now"]) == ("/problems/invalid-proof", clock.now.timestamp()), name
    assert client.post(SESSIONS, json=body).status_code == 201, "no attempt of the challenge was spent"


def test_a_phone_whose_clock_is_minutes_wrong_signs_in(client: Client, clock: Clock, device: Device) -> None:
    body = challenged(client)
    proof = device.proof(SESSIONS, clock.now.timestamp() - 240, nonce=body["challenge"])
    assert client.post(SESSIONS, json=body, headers=proof).status_code == 201


def test_two_staff_share_a_device_by_shift(client: Client, clock: Clock, device: Device) -> None:
    early, late = sign_in(client, clock, device).json(), sign_in(client, clock, device, "13912340000").json()
    headers = {"Authorization": f"Bearer {late['access_token']}"}
    assert client.delete("/v1/sessions/current", headers=headers).status_code == 204
    proof = device.proof(REFRESH, clock.now.timestamp())
    assert refresh(client, early["refresh_token"], proof).json()["account_id"] == early["account_id"]
    proof = device.proof(CODES, clock.now.timestamp())
    clock.now += timedelta(minutes=1)
    assert client.post(CODES, json={"phone": "13912340000"}, headers=proof).status_code == 202


# ── refreshing ──


def test_a_copied_refresh_token_is_worth_nothing_without_the_device(
    client: Client, clock: Clock, device: Device
) -> None:
    token = sign_in(client, clock, device).json()["refresh_token"]
    refused(refresh(client, token), "session-ended")
    refused(refresh(client, token, Device().proof(REFRESH, clock.now.timestamp())), "session-ended")
    answer = refresh(client, token, device.proof(REFRESH, clock.now.timestamp()))
    assert answer.status_code == 201, "the owner's session goes on"


def test_a_device_may_repeat_a_refresh_within_a_minute(client: Client, clock: Clock, device: Device) -> None:
    token = sign_in(client, clock, device).json()["refresh_token"]
    first = refresh(client, token, device.proof(REFRESH, clock.now.timestamp())).json()["refresh_token"]
    for _ in range(3):
        clock.now += timedelta(seconds=19)
        again = refresh(client, token, device.proof(REFRESH, clock.now.timestamp()))
        assert (again.status_code, again.json()["refresh_token"]) == (201, first)
    clock.now += timedelta(seconds=3)
    refused(refresh(client, token, device.proof(REFRESH, clock.now.timestamp())), "session-ended")
    refused(refresh(client, first, device.proof(REFRESH, clock.now.timestamp())), "session-ended")


def test_a_retry_that_is_not_the_last_refresh_ends_the_session(client: Client, clock: Clock, device: Device) -> None:
    at = clock.now.timestamp()
    token = sign_in(client, clock, device).json()["refresh_token"]
    second = refresh(client, token, device.proof(REFRESH, at)).json()["refresh_token"]
    third = refresh(client, second, device.proof(REFRESH, at)).json()["refresh_token"]
    refused(refresh(client, token, device.proof(REFRESH, at)), "session-ended")
    refused(refresh(client, third, device.proof(REFRESH, at)), "session-ended")


def test_the_used_token_on_another_device_ends_the_session(client: Client, clock: Clock, device: Device) -> None:
    at = clock.now.timestamp()
    token = sign_in(client, clock, device).json()["refresh_token"]
    second = refresh(client, token, device.proof(REFRESH, at)).json()["refresh_token"]
    refused(refresh(client, token, Device().proof(REFRESH, at)), "session-ended")
    refused(refresh(client, second, device.proof(REFRESH, at)), "session-ended")


def test_without_a_key_a_retry_is_known_by_its_idempotency_key(client: Client) -> None:
    token = client.post(SESSIONS, json=challenged(client)).json()["refresh_token"]
    key = {"Idempotency-Key": "refresh-1"}
    first = refresh(client, token, key).json()["refresh_token"]
    assert refresh(client, token, key).json()["refresh_token"] == first
    refused(refresh(client, token, {"Idempotency-Key": "guess"}), "session-ended")
    refused(refresh(client, first, key), "session-ended")


def test_a_thief_of_an_unbound_token_does_not_become_a_known_device(
    client: Client, clock: Clock, device: Device
) -> None:
    tokens = client.post(SESSIONS, json=challenged(client)).json()
    refresh(client, tokens["refresh_token"], device.proof(REFRESH, clock.now.timestamp()))
    assert account_of(client, tokens["account_id"]).devices == ()


# ── silence ──


def account(created: datetime, **fields: Any) -> Account:  # noqa: ANN401  fields of an account
    return Account(id="a", phone="p", phone_digest="d", created=created, **fields)


def test_after_ninety_days_of_silence_a_phone_proves_its_owner_on_a_known_device_only() -> None:
    used = used_account(account(NOW), "phone", NOW)
    just_before, after = NOW + SILENCE - timedelta(seconds=1), NOW + SILENCE
    assert phone_proves_owner(used, None, just_before)
    assert not phone_proves_owner(used, None, after)
    assert not phone_proves_owner(used, "tablet", after)
    assert phone_proves_owner(used, "phone", after)


def test_silence_before_use_was_recorded_does_not_count() -> None:
    old = account(datetime(2022, 1, 1, tzinfo=UTC))
    assert not is_silent(old, USE_RECORDED_SINCE + timedelta(days=89))
    assert is_silent(old, USE_RECORDED_SINCE + timedelta(days=90))
    assert not is_silent(account(NOW), NOW + timedelta(days=89))


def test_a_refresh_is_use(client: Client, clock: Clock, device: Device) -> None:
    tokens = sign_in(client, clock, device).json()
    clock.now += timedelta(days=20)
    refresh(client, tokens["refresh_token"], device.proof(REFRESH, clock.now.timestamp()))
    stored = account_of(client, tokens["account_id"])
    assert stored.last_used == stored.devices[0].last_used == clock.now


def test_an_account_remembers_its_latest_devices_only() -> None:
    used = account(NOW)
    for number in range(MAX_DEVICES + 5):
        used = used_account(used, f"device-{number}", NOW + timedelta(days=number))
    assert [one.id for one in used.devices] == [f"device-{number}" for number in range(5, MAX_DEVICES + 5)]
    assert not knows_device(without_device(used, "device-7").devices, "device-7")
    assert without_device(used, "device-0") is used
    assert used_account(used, "device-14", NOW + timedelta(days=14)) is used, "use is recorded to the day"
    assert replace(used, last_used=None) != used


# ── the list of devices ──


def test_people_see_the_devices_they_named_and_a_device_that_they_sign_out_is_unknown_again(
    client: Client, clock: Clock
) -> None:
    old, new = Device(), Device()
    sign_in(client, clock, old, device_name="旧手机", device_kind="phone")
    clock.now += timedelta(minutes=2)
    tokens = sign_in(client, clock, new, device_name="平板", device_kind="tablet").json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    shown = client.get("/v1/me/sessions", headers=headers).json()["sessions"]
    assert [(one["device_name"], one["device_kind"], one["current"]) for one in shown] == [
        ("平板", "tablet", True),
        ("旧手机", "phone", False),
    ]
    assert shown[1]["created"] == shown[1]["last_used"] == "2022-04-20T04:00:00Z"
    assert client.delete(f"/v1/me/sessions/{shown[1]['id']}", headers=headers).status_code == 204
    (known,) = account_of(client, tokens["account_id"]).devices
    assert known.added == clock.now


def test_a_device_stays_known_while_it_has_another_session(client: Client, clock: Clock) -> None:
    device = Device()
    sign_in(client, clock, device)
    clock.now += timedelta(minutes=2)
    tokens = sign_in(client, clock, device).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.delete("/v1/me/sessions", headers=headers).status_code == 204
    assert len(account_of(client, tokens["account_id"]).devices) == 1
