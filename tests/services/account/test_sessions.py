"""People see on which devices they are signed in, and end any of these sessions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from tests.conftest import SignIn
from tests.services.health_code.scene import SignedInPerson, problem

Client = TestClient[Litestar]
PHONE = "13800138000"


def devices(client: Client, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    answer = client.get("/v1/me/sessions", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["sessions"]


def another_device(sign_in: SignIn) -> tuple[SignedInPerson, str]:
    """Sign in with the same phone on another device; return its headers and refresh token."""
    known = sign_in.refresh_tokens.pop(PHONE, None)
    sign_in.client.app.state.city.clock.now += timedelta(minutes=30)
    headers = sign_in(PHONE)
    token = sign_in.refresh_tokens[PHONE]
    if known is not None:
        sign_in.refresh_tokens[PHONE] = known
    return SignedInPerson(sign_in.client.app, headers), token


def can_refresh(client: Client, token: str) -> bool:
    return client.post("/v1/sessions/refresh", json={"refresh_token": token}).status_code == 201


def test_each_signed_in_device_is_listed_and_the_current_one_is_marked(client: Client, sign_in: SignIn) -> None:
    first, _ = another_device(sign_in)
    second, _ = another_device(sign_in)
    for device in (first, second):
        shown = devices(client, device)
        assert len(shown) == 2
        assert [one["current"] for one in shown].count(True) == 1
    current = [next(one["id"] for one in devices(client, device) if one["current"]) for device in (first, second)]
    assert current[0] != current[1]


def test_a_session_that_is_ended_from_another_device_cannot_be_refreshed(client: Client, sign_in: SignIn) -> None:
    thief, lost = another_device(sign_in)
    mine, token = another_device(sign_in)
    [other] = [one["id"] for one in devices(client, mine) if not one["current"]]
    assert client.delete(f"/v1/me/sessions/{other}", headers=mine).status_code == 204
    assert [one["current"] for one in devices(client, mine)] == [True]
    assert not can_refresh(client, lost)
    problem(client.get("/v1/me", headers=thief), 401, "not-signed-in")
    assert can_refresh(client, token)


def test_all_other_sessions_are_ended_at_once(client: Client, sign_in: SignIn) -> None:
    others = [another_device(sign_in)[1] for _ in range(3)]
    mine, token = another_device(sign_in)
    assert client.delete("/v1/me/sessions", headers=mine).status_code == 204
    assert [can_refresh(client, other) for other in others] == [False] * 3
    assert can_refresh(client, token)


def test_nobody_ends_the_sessions_of_others(client: Client, sign_in: SignIn) -> None:
    mine, token = another_device(sign_in)
    stranger = sign_in("13800138001")
    [session] = [one["id"] for one in devices(client, mine)]
    problem(client.delete(f"/v1/me/sessions/{session}", headers=stranger), 404, "not-found")
    problem(client.delete("/v1/me/sessions/unknown", headers=mine), 404, "not-found")
    assert can_refresh(client, token)
