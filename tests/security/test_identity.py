import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from litestar import Litestar, get
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.city.declarations import declared_roles
from backend.city.service import discover_services
from backend.problems import NotSignedIn
from backend.security import keyring as keys_module
from backend.security.identity import (
    OPEN_GUARDS,
    Access,
    AccessClaims,
    Caller,
    Guard,
    RoleGuard,
    budgeted,
    probe,
    public,
    role_guard,
)
from backend.security.keyring import Keyring, make_keys, rotate
from backend.settings import Settings
from tests.accounts import bearer_of
from tests.conftest import Clock

NOW = datetime(2022, 5, 20, 4, 0, tzinfo=UTC)
ANNA = Caller("anna", "session", "citizen-anna", ("gate",), ("west-lake",))
LIVES = timedelta(seconds=900)
ROLES = sorted(declared_roles(discover_services()))
GUARDS: list[Guard] = [*OPEN_GUARDS, *(role_guard(role) for role in ROLES)]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def ring(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    monkeypatch.setattr(keys_module, "REFRESH_SECONDS", -1.0)
    make_keys(tmp_path / "keys")
    return Keyring.open(tmp_path / "keys", clock)


@pytest.fixture
def access(ring: Keyring, clock: Clock) -> Access:
    return Access(Settings(), ring, clock)


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def check(access: Access, authorization: bytes) -> AccessClaims:
    return access.claims(authorization, access._clock().timestamp())


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def test_an_access_token_identifies_the_caller(access: Access) -> None:
    claims = check(access, bearer(access.issue(ANNA, NOW)))
    assert (claims.sub, claims.sid, claims.cit) == ("anna", "session", "citizen-anna")
    assert (claims.rol, claims.ven) == (("gate",), ("west-lake",))


def test_the_scheme_may_be_written_in_any_case(access: Access) -> None:
    token = access.issue(ANNA, NOW).encode()
    assert check(access, b"bearer " + token) == check(access, b"BEARER " + token)


def test_an_access_token_can_be_checked_by_another_library(access: Access, ring: Keyring, clock: Clock) -> None:
    clock.now = datetime.now(UTC)
    token = access.issue(ANNA, clock.now)
    read = jwt.decode(token, ring.current("token").material, algorithms=["HS256"], audience="access")
    assert read["sub"] == "anna"


def test_an_access_token_is_invalid_before_its_time(access: Access, clock: Clock) -> None:
    token = bearer(access.issue(ANNA, NOW + timedelta(hours=1)))
    with pytest.raises(NotSignedIn):
        check(access, token)
    clock.now = NOW + timedelta(hours=1) - timedelta(seconds=30)
    assert check(access, token).sub == "anna"


def test_an_access_token_is_valid_until_it_expires(access: Access, clock: Clock) -> None:
    token = bearer(access.issue(ANNA, NOW))
    clock.now = NOW + LIVES - timedelta(seconds=1)
    assert check(access, token).sub == "anna"
    clock.now = NOW + LIVES
    with pytest.raises(NotSignedIn):
        check(access, token)


def forgeries(token: str, ring: Keyring) -> dict[str, bytes]:
    """Return the forgeries that an attacker with a token, but without our keys, could try."""
    header, claims, signature = token.split(".")
    kid, code_key = ring.current("token").kid, ring.current("code")
    decoded = jwt.decode(token, options={"verify_signature": False})
    secret = "a secret of their own, long enough to sign with"
    return {
        "other claims": bearer(f"{header}.{part(decoded | {'rol': ['operator']})}.{signature}"),
        "alg none": bearer(f"{part({'alg': 'none', 'kid': kid, 'typ': 'JWT'})}.{claims}."),
        "alg none as a library makes it": bearer(jwt.encode(decoded, None, algorithm="none", headers={"kid": kid})),
        "another secret": bearer(jwt.encode(decoded, secret, algorithm="HS256", headers={"kid": kid})),
        "foreign kid": bearer(jwt.encode(decoded, secret, algorithm="HS256", headers={"kid": "zzzz"})),
        "no kid": bearer(jwt.encode(decoded, ring.current("token").material, algorithm="HS256")),
        "another algorithm": bearer(
            jwt.encode(decoded, secret * 2, algorithm="HS512", headers={"kid": kid}),
        ),
        "the secret of a code key": bearer(
            jwt.encode(decoded, code_key.material, algorithm="HS256", headers={"kid": code_key.kid})
        ),
        "no signature": bearer(f"{header}.{claims}."),
        "two segments": bearer(f"{header}.{claims}"),
        "another scheme": b"Basic " + token.encode(),
        "no scheme": token.encode(),
        "nothing": b"",
        "bearer of nothing": b"Bearer ",
        "no text": b"Bearer \xff\xfe.\xff.\xff",
        "too long": bearer(token + "A" * 5_000),
    }


def test_a_token_that_is_not_ours_is_refused(access: Access, ring: Keyring) -> None:
    for name, forged in forgeries(access.issue(ANNA, NOW), ring).items():
        with pytest.raises(NotSignedIn):
            pytest.fail(f"{name}: {check(access, forged)}")


def test_a_token_of_our_key_for_another_purpose_is_refused(access: Access, ring: Keyring) -> None:
    key = ring.current("token")
    claims = {"sub": "anna", "sid": "s", "aud": "refresh", "iat": 0, "exp": 2**40}
    for wrong in (claims, {"sub": "anna"}, claims | {"aud": "access", "exp": "later"}):
        token = jwt.encode(wrong, key.material, algorithm="HS256", headers={"kid": key.kid})
        with pytest.raises(NotSignedIn):
            check(access, bearer(token))


def test_a_token_of_our_key_that_is_nested_too_deeply_is_refused(access: Access, ring: Keyring) -> None:
    key = ring.current("token")
    header, _, _ = access.issue(ANNA, NOW).split(".")
    body = base64.urlsafe_b64encode(b'{"x":' + b"[" * 2_500).rstrip(b"=").decode()
    signature = hmac.digest(key.material, f"{header}.{body}".encode(), "sha256")
    token = f"{header}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(NotSignedIn):
        check(access, bearer(token))


def test_a_token_of_our_key_that_is_too_long_is_refused(access: Access) -> None:
    headers = [bearer(access.issue(replace(ANNA, venues=("x" * size,)), NOW)) for size in range(2_500, 3_000)]
    longest = max(len(header) for header in headers if len(header) <= 4_096)
    for header in headers:
        if len(header) <= 4_096:
            assert check(access, header).sub == "anna"
        else:
            with pytest.raises(NotSignedIn):
                check(access, header)
    assert longest == 4_096


def test_after_a_rotation_old_tokens_are_valid_until_the_overlap_ends(
    access: Access, ring: Keyring, clock: Clock, tmp_path: Path
) -> None:
    access = Access(replace(Settings(), access_token_seconds=86_400), ring, clock)
    old = bearer(access.issue(ANNA, NOW))
    assert check(access, old).sub == "anna"
    made = rotate(tmp_path / "keys", "token", NOW, timedelta(hours=1))
    new = access.issue(ANNA, NOW)
    assert jwt.get_unverified_header(new)["kid"] == made.kid
    assert check(access, old).sub == check(access, bearer(new)).sub == "anna"
    clock.now = NOW + timedelta(hours=1)
    with pytest.raises(NotSignedIn):
        check(access, old)
    assert check(access, bearer(new)).sub == "anna"


# ── guards, over HTTP ──


def route(guard: Guard) -> Any:  # noqa: ANN401  a handler
    async def answer() -> str:
        return "welcome"

    return get(f"/for/{guard_name(guard)}", guards=[guard])(answer)


def guard_name(guard: Guard) -> str:
    return guard.roles[0] if isinstance(guard, RoleGuard) else guard.__name__


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, person_requests_per_minute=5, address_requests_per_minute=5)


@pytest.fixture
def app(settings: Settings, clock: Clock) -> Litestar:
    app = create_app(settings, clock=clock)
    for guard in GUARDS:
        app.register(route(guard))
    return app


@pytest.fixture
def ask(app: Litestar) -> Callable[..., Any]:
    client = TestClient(app)

    def ask(path: str, caller: Caller | None = None, **headers: str) -> Any:  # noqa: ANN401  an answer
        if caller is not None:
            headers = asyncio.run(bearer_of(app, caller)) | headers
        return client.get(path, headers=headers)

    return ask


OPEN = ("public", "budgeted", "probe", "signed_in")
LEVELS = ("citizen", "person_present")


@pytest.mark.parametrize("role", [None, *ROLES])
def test_each_guard_admits_the_callers_that_it_names_and_no_others(ask: Callable[..., Any], role: str | None) -> None:
    for name in map(guard_name, GUARDS):
        caller = Caller(f"caller-{role}-{name}", f"s-{role}", None, () if role is None else (role,))
        expected = 200 if name in OPEN or name == role or (name in LEVELS and role is not None) else 403
        answer = ask(f"/for/{name}", caller)
        assert answer.status_code == expected, name
        if expected == 403:
            assert answer.json()["type"] == f"/problems/{'step-up-required' if name in LEVELS else 'not-allowed'}", name


@pytest.mark.parametrize(("path", "needed"), [("/for/citizen", 2), ("/for/person_present", 3)])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_citizen_is_admitted_from_the_level_that_a_route_needs(
    ask: Callable[..., Any], path: str, needed: int, level: int
) -> None:
    assert ask(path, Caller("anna", "s", level=level)).status_code == 403
    assert ask(path, Caller("anna", "s", "citizen-anna", level=level)).status_code == (200 if level >= needed else 403)


def test_a_caller_at_too_low_a_level_learns_how_to_raise_it(ask: Callable[..., Any]) -> None:
    refused = ask("/for/person_present", Caller("anna", "s", "citizen-anna", level=2), **{"accept-language": "en"})
    body = refused.json()
    assert body["type"] == "/problems/step-up-required"
    assert (body["level"], body["present_level"]) == (3, 2)
    assert body["step_up"] == {"method": "POST", "path": "/v1/me/identity-proofs"}
    assert body["detail"].startswith("Please prove first, by face or bank card")


def test_a_caller_who_is_not_signed_in_learns_how_to(ask: Callable[..., Any]) -> None:
    answer = ask("/for/signed_in")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "/problems/not-signed-in"
    assert ask("/for/public").status_code == 200


def test_a_person_with_too_many_requests_waits_for_the_next_minute(ask: Callable[..., Any], clock: Clock) -> None:
    clock.now = NOW + timedelta(seconds=18)
    assert [ask("/for/signed_in", ANNA).status_code for _ in range(6)] == [200] * 5 + [429]
    refused = ask("/for/signed_in", ANNA)
    assert (refused.json()["type"], refused.headers["Retry-After"]) == ("/problems/too-many-requests", "42")
    assert refused.json()["detail"] == "操作太频繁，请42秒后再试。"
    assert ask("/for/signed_in", Caller("bob", "s")).status_code == 200
    clock.now = NOW + timedelta(seconds=60)
    assert ask("/for/signed_in", ANNA).status_code == 200


def test_an_address_with_too_many_requests_waits(ask: Callable[..., Any]) -> None:
    assert [ask("/for/public").status_code for _ in range(6)] == [200] * 5 + [429]
    assert ask("/for/signed_in", ANNA).status_code == 200


def test_request_counts_are_dropped_after_a_minute(access: Access, clock: Clock) -> None:
    for person in range(1_000):
        access.admission.count(f"person {person}", 10, NOW.timestamp())
    clock.now = NOW + timedelta(minutes=1)
    access.admission.count("somebody", 10, clock.now.timestamp())
    assert len(access.admission.counts) == 1


def test_only_the_public_signing_in_and_probes_need_no_token(ask: Callable[..., Any]) -> None:
    open_to_all = [guard for guard in GUARDS if ask(f"/for/{guard_name(guard)}").status_code == 200]
    assert open_to_all == [public, budgeted, probe]
