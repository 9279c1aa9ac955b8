"""Services declare roles, and which of them exclude each other; no other role can be granted."""

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from backend.city.declarations import declared_roles, exclusive_roles, grantable_roles
from backend.city.service import discover_services
from backend.security.identity import RoleGuard
from backend.services.account.demo import demo
from tests.conformance import document
from tests.conftest import SignIn

Client = TestClient[Litestar]
SERVICES = discover_services()


def test_the_document_lists_the_roles_of_all_services() -> None:
    roles = declared_roles(SERVICES)
    assert document()["components"]["schemas"]["Role"]["enum"] == sorted(roles)
    assert {"gate", "operator", "talent_officer"} <= roles


def test_a_role_that_no_service_declares_cannot_be_proposed(client: Client, sign_in: SignIn) -> None:
    operator = sign_in("13800000003", roles=["operator"])
    body = {"phone": "13800138000", "roles": ["gate", "emperor"], "reason": "入职"}
    refused = client.post("/v1/staff/grants", json=body, headers=operator | {"accept-language": "en"})
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-request")
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/roles/1"
    assert error["detail"].startswith("There is no role 'emperor'; use one of: approver, ")


def test_the_role_of_a_connected_system_cannot_be_proposed(client: Client, sign_in: SignIn) -> None:
    operator = sign_in("13800000003", roles=["operator"])
    body = {"phone": "13800138000", "roles": ["hospital"], "reason": "入职"}
    assert client.post("/v1/staff/grants", json=body, headers=operator).status_code == 400
    assert "hospital" not in grantable_roles(SERVICES)


def test_every_role_guards_something(app: Litestar) -> None:
    guards = [
        guard
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for guard in handler.resolve_guards()
    ]
    guarding = {role for guard in guards if isinstance(guard, RoleGuard) for role in guard.roles}
    assert declared_roles(SERVICES) - guarding == set()


@pytest.mark.parametrize(
    "pair", [("operator", "auditor"), ("author", "approver"), ("operator", "approver"), ("auditor", "health_officer")]
)
def test_roles_that_check_each_other_exclude_each_other(pair: tuple[str, str]) -> None:
    assert frozenset(pair) in exclusive_roles(SERVICES)


def test_an_auditor_has_no_other_role() -> None:
    others = grantable_roles(SERVICES) - {"auditor"}
    assert {frozenset(("auditor", other)) for other in others} <= exclusive_roles(SERVICES)


def test_the_demonstration_has_two_operators() -> None:
    assert [member.role for member in demo.staff].count("operator") == 2
