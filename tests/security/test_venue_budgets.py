"""Gate staff are limited by venue, and signed-in people one by one and never by their address."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.settings import Settings
from tests.conftest import SignIn

Client = TestClient[Litestar]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, venue_requests_per_minute=12, person_requests_per_minute=8, address_requests_per_minute=20)


def scans(client: Client, headers: dict[str, str], venue: str, count: int) -> list[int]:
    bodies = [{"venue": venue, "scan_id": f"scan-{number:04}", "payload": "no code"} for number in range(count)]
    return [client.post("/v1/verifications", json=body, headers=headers).status_code for body in bodies]


def test_the_gate_staff_of_a_venue_share_its_budget(client: Client, sign_in: SignIn) -> None:
    early = sign_in("13800000001", roles=["gate"], venues=["west-lake"])
    late = sign_in("13800000002", roles=["gate"], venues=["west-lake"])
    other = sign_in("13800000003", roles=["gate"], venues=["museum"])
    assert scans(client, early, "west-lake", 10) == [200] * 10, "more than the budget of a person"
    assert scans(client, late, "west-lake", 4) == [200] * 2 + [429] * 2
    assert scans(client, other, "museum", 10) == [200] * 10
    assert client.get("/v1/me", headers=early).status_code == 200, "their own affairs have a budget of their own"


def test_people_behind_one_address_do_not_shut_one_another_out(client: Client, sign_in: SignIn) -> None:
    people = [sign_in(f"137000000{number:02}") for number in range(6)]
    statuses = [client.get("/v1/me", headers=person).status_code for _ in range(7) for person in people]
    assert statuses == [200] * 42, "the budget of their address is 20"
