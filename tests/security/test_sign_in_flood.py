"""Strangers who ask for codes and guess them neither lock a phone nor flood it."""

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.services.account.model.budgets import MESSAGES_PER_HOUR
from backend.settings import Settings
from integrations.captcha import proof_of_work
from integrations.captcha.proof_of_work import solve
from integrations.sms import sandbox
from tests.conftest import Clock, newest_code
from tests.security.proofs import Device

Client = TestClient[Litestar]
PHONE = "13912345678"
E164 = "+8613912345678"
CODES, SESSIONS, REFRESH = "/v1/sign-in-codes", "/v1/sessions", "/v1/sessions/refresh"


@pytest.fixture
def settings(settings: Settings, address: str, redis_url: str) -> Settings:
    return replace(settings, store=address, mongo_driver="pymongo", rate_limit_store=redis_url)


@pytest.fixture(autouse=True)
def empty_outbox() -> Iterator[None]:
    sandbox._outbox.clear()
    yield
    sandbox._outbox.clear()


@pytest.fixture(autouse=True)
def empty_redis(redis_url: str) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter("chengma*"):
            client.delete(key)


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now().astimezone())


async def from_address(app: Litestar, address: str, path: str, body: dict[str, str], **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=cast("Any", app), client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://city") as sender:
        return await sender.post(path, json=body, headers=headers)


def signed_in(client: Client, device: Device, clock: Clock) -> dict[str, Any]:
    """Sign in with a device, which the account knows from then on."""
    at = clock.now.timestamp()
    sent = client.post(CODES, json={"phone": PHONE}, headers=device.proof(CODES, at))
    assert sent.status_code == 202, sent.text
    challenge = sent.json()["challenge"]
    body = {"phone": PHONE, "challenge": challenge, "code": newest_code(client, PHONE)}
    answer = client.post(SESSIONS, json=body, headers=device.proof(SESSIONS, at, nonce=challenge))
    assert answer.status_code == 201, answer.text
    return answer.json()


def messages_to_phone() -> int:
    return sum(to == E164 for to, _ in sandbox._outbox)


def test_a_thousand_requests_from_a_hundred_addresses_do_not_keep_the_owners_device_out(
    app: Litestar, client: Client, clock: Clock
) -> None:
    owner = Device()
    signed_in(client, owner, clock)
    clock.now += timedelta(minutes=5)

    async def flood() -> list[httpx.Response]:
        requests = (from_address(app, f"198.51.100.{number % 100}", CODES, {"phone": PHONE}) for number in range(1_000))
        return [await each for each in requests]

    answers = client.blocking_portal.call(flood)
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(202) <= 6
    assert set(statuses) <= {202, 429}
    clock.now += timedelta(seconds=60)
    assert signed_in(client, owner, clock)["account_id"]
    assert messages_to_phone() <= MESSAGES_PER_HOUR


def test_a_phone_gets_the_budgets_messages_in_an_hour_whoever_asks(settings: Settings, clock: Clock) -> None:
    with TestClient(create_app(replace(settings, rate_limit_store=""), clock=clock)) as client:
        app = client.app
        devices = [Device(), Device("ES256")]
        signed_in(client, devices[0], clock)
        clock.now += timedelta(minutes=2)
        signed_in(client, devices[1], clock)
        sandbox._outbox.clear()

        async def minute(number: int) -> None:
            at = clock.now.timestamp()
            for stranger in range(4):
                await from_address(app, f"198.51.{number}.{stranger}", CODES, {"phone": PHONE})
            for device in devices:
                await from_address(app, "192.0.2.1", CODES, {"phone": PHONE}, **device.proof(CODES, at))

        for number in range(60):
            clock.now += timedelta(minutes=1)
            client.blocking_portal.call(minute, number)
        assert 5 <= messages_to_phone() <= MESSAGES_PER_HOUR


def test_guesses_of_strangers_spend_their_own_challenge_only(app: Litestar, client: Client) -> None:
    owners = client.post(CODES, json={"phone": PHONE}).json()["challenge"]
    code = newest_code(client, PHONE)
    wrong = f"{(int(code) + 1) % 10**6:06}"

    async def guess() -> list[int]:
        theirs = (await from_address(app, "198.51.100.7", CODES, {"phone": PHONE})).json()["challenge"]
        bodies = [{"phone": PHONE, "challenge": theirs, "code": wrong} for _ in range(8)]
        bodies += [{"phone": PHONE, "challenge": "x" * 22, "code": code} for _ in range(8)]
        return [(await from_address(app, "198.51.100.7", SESSIONS, body)).status_code for body in bodies]

    statuses = client.blocking_portal.call(guess)
    assert statuses == [400] * 5 + [429] * 3 + [400] * 8
    body = {"phone": PHONE, "challenge": owners, "code": code}
    assert client.post(SESSIONS, json=body).status_code == 201


def test_a_strangers_device_does_not_spend_the_owners_budget(app: Litestar, client: Client, clock: Clock) -> None:
    owner, stranger = Device(), Device()
    signed_in(client, owner, clock)
    clock.now += timedelta(minutes=5)

    async def ask() -> list[int]:
        at = clock.now.timestamp()
        answers = [
            await from_address(app, f"203.0.113.{number}", CODES, {"phone": PHONE}, **stranger.proof(CODES, at))
            for number in range(30)
        ]
        return [answer.status_code for answer in answers]

    assert client.blocking_portal.call(ask).count(202) <= 6
    assert signed_in(client, owner, clock)["account_id"]


def test_a_copied_proof_is_of_no_use(client: Client, clock: Clock) -> None:
    owner = Device()
    signed_in(client, owner, clock)
    clock.now += timedelta(minutes=5)
    proof = owner.proof(CODES, clock.now.timestamp())
    assert client.post(CODES, json={"phone": PHONE}, headers=proof).status_code == 202
    copied = client.post(CODES, json={"phone": PHONE}, headers=proof)
    assert (copied.status_code, copied.json()["type"]) == (401, "/problems/invalid-proof")


def test_one_sender_of_eight_concurrent_requests_in_two_processes_gets_a_code(settings: Settings, clock: Clock) -> None:
    first, second = (create_app(settings, clock=clock) for _ in range(2))

    async def ask() -> list[int]:
        apps = [first, second] * 4
        answers = await asyncio.gather(*(from_address(app, "192.0.2.9", CODES, {"phone": PHONE}) for app in apps))
        for app in (first, second):
            await app.state.access.admission.limits.close()
            await app.state.city.store.close()
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(ask()) == [202] + [429] * 7


def test_codes_go_only_to_countries_that_the_city_serves(client: Client) -> None:
    answer = client.post(CODES, json={"phone": "+44 7400 123456"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/foreign-phone")
    assert answer.json()["country_codes"] == ["86"]
    assert messages_to_phone() == 0
    assert not re.search("7400", answer.text)


def test_a_stranger_solves_a_captcha_when_the_budget_of_a_phone_runs_low(
    app: Litestar, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_of_work, "BITS", 8)

    async def ask() -> list[tuple[int, str]]:
        outcomes: list[tuple[int, str]] = []
        for number in range(8):
            address = f"203.0.113.{number}"
            answer = await from_address(app, address, CODES, {"phone": PHONE})
            if answer.status_code == 429 and "captcha" in answer.json():
                captcha = answer.json()["captcha"]
                solved = {"Captcha-Response": solve(captcha["puzzle"], captcha["zero_bits"])}
                answer = await from_address(app, address, CODES, {"phone": PHONE}, **solved)
                outcomes.append((answer.status_code, "solved"))
            else:
                outcomes.append((answer.status_code, ""))
        return outcomes

    assert client.blocking_portal.call(ask) == [(202, "")] * 4 + [(202, "solved")] * 2 + [(429, "")] * 2
