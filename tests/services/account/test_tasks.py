"""Expired sessions and sign-in codes are deleted."""

from datetime import timedelta

from litestar import Litestar
from litestar.testing import TestClient

from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.account.tasks import sweep_sessions
from tests.conftest import Clock, SignIn

Client = TestClient[Litestar]


def counts(client: Client) -> tuple[int, int]:
    portal, store = client.blocking_portal, client.app.state.city.store
    return portal.call(store.count, Session, {}), portal.call(store.count, SignInChallenge, {})


def sweep(client: Client) -> None:
    client.blocking_portal.call(sweep_sessions, client.app.state.city)


def test_a_session_and_a_challenge_are_deleted_when_they_have_expired(
    client: Client, sign_in: SignIn, clock: Clock
) -> None:
    sign_in("13800138000")
    assert counts(client) == (1, 1)
    clock.now += timedelta(minutes=5)
    sweep(client)
    assert counts(client) == (1, 1), "five minutes end after their last millisecond"
    clock.now += timedelta(seconds=1)
    sweep(client)
    assert counts(client) == (1, 0)
    clock.now += timedelta(days=30)
    sweep(client)
    assert counts(client) == (0, 0)


def test_a_later_session_is_kept(client: Client, sign_in: SignIn, clock: Clock) -> None:
    sign_in("13800138000")
    clock.now += timedelta(days=20)
    sign_in("13800138000")
    clock.now += timedelta(days=20)
    sweep(client)
    assert counts(client)[0] == 1
