"""The OpenAPI document: it is complete, and no answer of the city is outside it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from litestar import Litestar
from litestar.testing import TestClient
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from backend.app import create_app
from backend.settings import Settings
from backend.web.openapi import as_yaml, discovered_document
from tests.conformance import document
from tests.conftest import ROOT, Clock, SignIn
from tests.draws import draws
from tests.keys import new_keys

pytestmark = pytest.mark.slow

OPERATIONS = [
    (method, path, operation) for path, item in document()["paths"].items() for method, operation in item.items()
]
NAMES = [operation["operationId"] for _, _, operation in OPERATIONS]
every_operation = pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)


def test_the_committed_document_is_the_generated_one() -> None:
    committed = (ROOT / "openapi" / "openapi.yaml").read_text(encoding="utf-8")
    assert committed == as_yaml(discovered_document(Settings())), "run `make openapi` and commit the result"


def test_the_document_is_served_as_json_and_as_yaml(client: TestClient[Litestar]) -> None:
    assert client.get("/openapi.json").json() == document()
    assert client.get("/openapi.yaml").text == as_yaml(document())


def test_the_reference_page_names_every_operation_and_schema(client: TestClient[Litestar]) -> None:
    page = client.get("/reference").text
    for name in [*NAMES, *document()["components"]["schemas"]]:
        assert f"id={name}>" in page


def test_operations_are_named_once_and_belong_to_one_service() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert all(len(operation["tags"]) == 1 for _, _, operation in OPERATIONS)


def test_the_development_outbox_is_not_in_the_committed_document() -> None:
    assert "/v1/development/outbox" in document()["paths"]
    assert "/v1/development/outbox" not in discovered_document(Settings())["paths"]


@every_operation
def test_an_operation_documents_the_problems_that_follow_from_it(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    expected = {"400", "429", "500"}
    if "security" in operation:
        expected.add("401")
    if "requestBody" in operation:
        expected |= {"413", "415"}
    if "{" in path:
        expected.add("404")
    if method != "get":
        expected.add("409")
    assert expected <= set(operation["responses"])
    for status, response in operation["responses"].items():
        assert "X-Request-Id" in response["headers"]
        assert (set(response.get("content", {})) == {"application/problem+json"}) == (status >= "400")


@every_operation
def test_every_value_that_a_caller_sends_is_bounded(method: str, path: str, operation: dict[str, Any]) -> None:  # noqa: ARG001  one table of operations
    bodies = [content["schema"] for content in operation.get("requestBody", {}).get("content", {}).values()]
    assert not list(unbounded({"anyOf": bodies}, set()))


def unbounded(schema: dict[str, Any], seen: set[str], place: str = "") -> Iterator[str]:
    """Yield the texts, numbers and lists of a schema that have no limit, and objects without declared properties."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            yield from unbounded(document()["components"]["schemas"][name], seen | {name}, place)
    for part in schema.get("anyOf", []):
        yield from unbounded(part, seen, place)
    limits = {
        "string": {"maxLength", "pattern", "enum", "format", "const"},
        "integer": {"maximum"},
        "number": {"maximum"},
        "array": {"maxItems"},
        "object": {"additionalProperties"},
    }
    for kind, sufficient in limits.items():
        if schema.get("type") == kind and not sufficient & schema.keys():
            yield f"{place}: any {kind}"
    if "items" in schema:
        yield from unbounded(schema["items"], seen, f"{place}/*")
    for name, part in schema.get("properties", {}).items():
        yield from unbounded(part, seen, f"{place}/{name}")


# ── schemathesis ──

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Litestar]]:
    folder = tmp_path_factory.mktemp("city")
    settings = Settings(
        store=f"sqlite:///{folder}/city.db",
        keys=new_keys(folder / "keys"),
        rules=str(ROOT / "rules"),
        development=True,
        access_log=False,
        person_requests_per_minute=1_000_000,
        address_requests_per_minute=1_000_000,
    )
    clock = Clock(datetime(2022, 4, 20, 4, 0, tzinfo=UTC))
    with TestClient(create_app(settings, clock=clock)) as client:
        yield client


@pytest.fixture(scope="module")
def headers(city: TestClient[Litestar]) -> dict[str, str]:
    """Sign in a person with all roles, so that no guard hides the faults of a route."""
    return SignIn(city)("13800138000", name="王小明", roles=sorted(city.app.state.city.roles), venues=["west-lake"])


REQUESTS = [
    pytest.param(method, path, operation, mode, id=f"{operation['operationId']}-{mode.value}")
    for method, path, operation in OPERATIONS
    for mode in GenerationMode
    if mode == GenerationMode.POSITIVE or {"security", "parameters", "requestBody"} & operation.keys()
]


@pytest.mark.parametrize(("method", "path", "operation", "mode"), REQUESTS)
def test_schemathesis_finds_no_answer_outside_the_document(
    method: str,
    path: str,
    operation: dict[str, Any],
    mode: GenerationMode,
    city: TestClient[Litestar],
    headers: dict[str, str],
) -> None:
    schema = schemathesis.openapi.from_dict(document())
    signed_in = {} if operation["operationId"] == "account_sign_out" else headers

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @effort(
        max_examples=draws(30, soak=300),
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        sent = case.as_transport_kwargs(base_url=str(city.base_url), headers=signed_in)
        answer = city.request(
            sent["method"],
            sent["url"],
            params=sent.get("params"),
            headers=dict(sent["headers"]),
            json=sent.get("json"),
            content=sent.get("data"),
        )
        case.validate_response(answer, checks=CHECKS)

    ask()
