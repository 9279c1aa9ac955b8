"""A solved captcha admits a request beyond a budget, once."""

import asyncio
import time
from typing import Any

import pytest
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.settings import Settings
from integrations.captcha import proof_of_work
from integrations.captcha.proof_of_work import ProofOfWork, solve
from tests.conftest import Clock

JWKS = "/.well-known/jwks.json"


@pytest.fixture(autouse=True)
def easy_puzzles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_of_work, "BITS", 10)


def response_to(challenge: dict[str, Any]) -> str:
    return solve(challenge["puzzle"], challenge["zero_bits"])


def test_beyond_the_budget_of_an_address_a_captcha_admits_one_request(settings: Settings, clock: Clock) -> None:
    with TestClient(create_app(replace(settings, address_requests_per_minute=2), clock=clock)) as client:
        assert [client.get(JWKS).status_code for _ in range(2)] == [200, 200]
        asked = client.get(JWKS, headers={"Accept-Language": "en"})
        assert (asked.status_code, asked.json()["type"]) == (429, "/problems/captcha-required")
        response = response_to(asked.json()["captcha"])
        headers = {"Captcha-Response": response}
        assert client.get(JWKS, headers=headers).status_code == 200
        assert client.get(JWKS, headers=headers).status_code == 429, "a solution is accepted once"


def test_a_signed_in_person_needs_no_captcha_behind_a_busy_address(
    settings: Settings,
    clock: Clock,
    sign_in: Any,  # noqa: ANN401  a fixture
) -> None:
    headers = sign_in("13912345678")
    client, counts = sign_in.client, sign_in.client.app.state.access.admission.counts
    for _ in range(settings.address_requests_per_minute + 1):
        counts.add("address testclient", settings.address_requests_per_minute, clock.now.timestamp())
    assert client.get(JWKS).status_code == 429
    assert client.get("/v1/me", headers=headers).status_code == 200
    token = sign_in.refresh_tokens["13912345678"]
    assert client.post("/v1/sessions/refresh", json={"refresh_token": token}).status_code == 201


@pytest.fixture
def puzzles(settings: Settings) -> ProofOfWork:
    return ProofOfWork(settings.keys)


async def accepted(puzzles: ProofOfWork, response: str) -> bool:
    return await puzzles.solved(response) is not None


def check(puzzles: ProofOfWork, response: str) -> bool:
    return asyncio.run(accepted(puzzles, response))


def test_a_solution_is_checked_by_every_process(puzzles: ProofOfWork, settings: Settings) -> None:
    response = response_to(puzzles.challenge())
    assert check(ProofOfWork(settings.keys), response)


def test_what_solves_no_puzzle_of_the_city_is_refused(puzzles: ProofOfWork, monkeypatch: pytest.MonkeyPatch) -> None:
    challenge = puzzles.challenge()
    puzzle, response = challenge["puzzle"], response_to(challenge)
    wrong = next(f"{puzzle}:{n}" for n in range(100) if not check(puzzles, f"{puzzle}:{n}"))
    bits, rest = puzzle.split(".", 1)
    easier = solve(f"0.{rest}", 0)
    for refused in (wrong, easier, f"{puzzle}:", f"{puzzle}:x", puzzle, "", ":", "1.2.3.4:5", f"{bits}:1", "９" * 99):
        assert not check(puzzles, refused), refused
    later = time.time() + proof_of_work.PUZZLE_SECONDS
    monkeypatch.setattr(proof_of_work.time, "time", lambda: later)
    assert not check(puzzles, response), "a puzzle ends after five minutes"
