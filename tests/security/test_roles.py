"""Roles are declared by services, and no others can be granted."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.declarations import declared_roles
from backend.city.service import discover_services
from backend.problems import InvalidRequest
from backend.services.account.accounts import set_roles
from tests.conformance import document
from tests.conftest import SignIn

Client = TestClient[Litestar]


def test_the_document_lists_the_roles_of_all_services() -> None:
    roles = declared_roles(discover_services())
    assert document()["components"]["schemas"]["Role"]["enum"] == sorted(roles)
    assert {"gate", "operator", "talent_officer"} <= roles


def test_a_role_that_no_service_declares_cannot_be_granted(client: Client, sign_in: SignIn) -> None:
    operator, anna = sign_in("13800000003", roles=["operator"]), sign_in("13800138000")
    account = client.get("/v1/me", headers=anna).json()["id"]
    asked = {"roles": ["gate", "emperor"]}
    refused = client.put(f"/v1/accounts/{account}/roles", json=asked, headers=operator | {"accept-language": "en"})
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-request")
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/roles/1"
    assert error["detail"].startswith("There is no role 'emperor'; use one of: approver, ")
    assert client.get("/v1/me", headers=anna).json()["roles"] == []


def test_a_command_cannot_grant_an_undeclared_role_either(client: Client) -> None:
    city = client.app.state.city
    with pytest.raises(InvalidRequest):
        client.blocking_portal.call(set_roles, city, "13800000001", ("emperor",))
