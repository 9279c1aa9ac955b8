"""A registered gateway's requests are counted by its end users."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.cli.gateways import gateways
from backend.security import gateways as gateways_module
from backend.security.gateways import add_gateway, remove_gateway
from backend.security.request_proofs import parse_public_key
from backend.settings import Settings
from tests.conftest import Clock
from tests.security.proofs import Device

JWKS = "/.well-known/jwks.json"


@pytest.fixture
def settings(settings: Settings, address: str) -> Settings:
    return replace(settings, store=address, mongo_driver="pymongo", address_requests_per_minute=2)


@pytest.fixture(params=["EdDSA", "ES256"])
def key(request: pytest.FixtureRequest) -> Device:
    return Device(request.param)


@pytest.fixture
def client(settings: Settings, clock: Clock, key: Device, monkeypatch: pytest.MonkeyPatch) -> TestClient[Litestar]:
    monkeypatch.setattr(gateways_module, "REFRESH_SECONDS", 0.0)
    with TestClient(create_app(settings, clock=clock)) as client:
        store = client.app.state.city.store
        client.blocking_portal.call(add_gateway, store, "mini", parse_public_key(key.jwk), 7, clock.now)
        yield client


def status(client: TestClient[Litestar], key: Device, user: str, at: float, name: str = "mini") -> int:
    return client.get(JWKS, headers=key.gateway_proof(name, user, JWKS, at, "GET")).status_code


def test_the_end_users_of_a_gateway_have_budgets_of_their_own(
    client: TestClient[Litestar], key: Device, clock: Clock
) -> None:
    at = clock.now.timestamp()
    assert [status(client, key, "198.51.100.1", at) for _ in range(3)] == [200, 200, 429]
    assert [status(client, key, "openid-2", at) for _ in range(3)] == [200, 200, 429]
    assert [client.get(JWKS).status_code for _ in range(3)] == [200, 200, 429], "its own address is another origin"


def test_a_gateway_has_a_budget_for_all_its_end_users(client: TestClient[Litestar], key: Device, clock: Clock) -> None:
    statuses = [status(client, key, f"user-{number}", clock.now.timestamp()) for number in range(9)]
    assert statuses == [200] * 7 + [429] * 2


def test_a_proof_that_is_not_a_registered_gateways_is_refused(
    client: TestClient[Litestar], key: Device, clock: Clock
) -> None:
    at = clock.now.timestamp()
    assert status(client, key, "user", at, name="other") == 401
    assert status(client, Device(key.algorithm), "user", at) == 401
    assert status(client, key, "", at) == 401
    assert status(client, key, "user", at - 600) == 401
    of_a_device = key.proof(JWKS, at, "GET", iss="mini", sub="user")["DPoP"]
    for malformed in ("", "x", "a.b.c", of_a_device, "e" * 5_000):
        assert client.get(JWKS, headers={"Gateway-Proof": malformed}).status_code == 401
    proof = key.gateway_proof("mini", "user", JWKS, at, "GET")
    assert [client.get(JWKS, headers=proof).status_code for _ in range(2)] == [200, 401], "a proof is accepted once"


def test_a_removed_gateway_is_refused(client: TestClient[Litestar], key: Device, clock: Clock) -> None:
    assert status(client, key, "user", clock.now.timestamp()) == 200
    assert client.blocking_portal.call(remove_gateway, client.app.state.city.store, "mini")
    assert status(client, key, "user", clock.now.timestamp()) == 401


def test_an_operator_of_the_machine_registers_lists_and_removes_gateways(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHENGMA_STORE", f"sqlite:///{tmp_path}/command.db")
    for name in ("keys", "rules", "sandbox"):
        monkeypatch.setenv(f"CHENGMA_{name.upper()}", getattr(settings, name))
    (tmp_path / "key.json").write_text(json.dumps(Device().jwk))
    (tmp_path / "private.json").write_text(json.dumps(Device().jwk | {"d": "secret"}))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(gateways, arguments)
        return result.exit_code, result.output

    assert run("add", "mini", str(tmp_path / "key.json"), "--requests-per-minute", "500")[0] == 0
    code, listed = run("list")
    assert code == 0
    assert "mini" in listed
    assert "500 a minute" in listed
    assert run("remove", "mini") == (0, "mini is removed.\n")
    assert run("list") == (0, "")
    assert run("remove", "mini")[0] == 1
    assert run("add", "Mini!", str(tmp_path / "key.json"))[0] == 2
    code, refused = run("add", "mini", str(tmp_path / "private.json"))
    assert code == 2
    assert "public JSON Web Key" in refused
