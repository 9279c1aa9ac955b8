import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.testing import TestClient
from msgspec import Meta, Struct

from backend.app import create_app
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import public
from backend.settings import Settings
from backend.store import Conflict, InvalidCursor


class Guest(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=4)]


class Feast(Struct, forbid_unknown_fields=True):
    title: Annotated[str, Meta(min_length=1, max_length=10)]
    seats: Annotated[int, Meta(ge=1, le=12)]
    guests: Annotated[list[Guest], Meta(max_length=3)] = []


@post("/v1/feasts", guards=[public])
async def hold_feast(data: JSONBody[Feast]) -> Feast:
    return data


@get("/v1/feasts", guards=[public])
async def list_feasts(limit: Annotated[int, QueryParameter(ge=1, le=100)] = 10) -> int:
    return limit


FAULTS: dict[str, Exception] = {
    "fault": RuntimeError("the treasure of 13800138000 is under the oak"),
    "conflict": Conflict("feasts", "f1", 3),
    "cursor": InvalidCursor(),
    "unknown": NotFound(Text(zh="没有这场宴席。", en="There is no such feast."), feast_id="f1"),
}


@get("/v1/faults/{kind:str}", guards=[public])
async def fail(kind: FromPath[str]) -> None:
    raise FAULTS[kind]


@pytest.fixture
def feast_app(settings: Settings) -> Litestar:
    app = create_app(settings)
    for handler in (hold_feast, list_feasts, fail):
        app.register(handler)
    return app


@pytest.fixture
def client(feast_app: Litestar) -> Iterator[TestClient[Litestar]]:
    with TestClient(feast_app, raise_server_exceptions=False) as client:
        yield client


Client = TestClient[Litestar]


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"]) == (f"/problems/{kind}", status)
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def test_a_valid_request_is_answered(client: Client) -> None:
    answer = client.post("/v1/feasts", json={"title": "中秋", "seats": 12, "guests": [{"name": "王"}]})
    assert answer.status_code == 201
    assert answer.json() == {"title": "中秋", "seats": 12, "guests": [{"name": "王"}]}


def test_an_unknown_route_is_a_problem(client: Client) -> None:
    problem(client.get("/v1/dragons"), 404, "not-found")


def test_a_wrong_method_names_the_right_ones(client: Client) -> None:
    answer = client.delete("/v1/feasts")
    problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}


@pytest.mark.parametrize("body", [b"{", b'{"title": "x", }', b"title=x", b"\xff\xfe", b'"\xff"', b"[" * 5_000])
def test_a_body_that_is_not_json_is_refused(client: Client, body: bytes) -> None:
    problem(client.post("/v1/feasts", content=body, headers=JSON), 400, "invalid-request")


JSON = {"content-type": "application/json"}


def test_a_missing_body_is_refused(client: Client) -> None:
    body = problem(client.post("/v1/feasts", headers=JSON), 400, "invalid-request")
    assert body["errors"] == [{"pointer": "", "detail": "没有提交内容。"}]
    english = client.post("/v1/feasts", headers=JSON | {"accept-language": "en"})
    assert english.json()["errors"] == [{"pointer": "", "detail": "The body is missing."}]


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"title": 5, "seats": 1}, "/title", "Expected `str`, got `int`"),
        ({"title": "x", "seats": "1"}, "/seats", "Expected `int`, got `str`"),
        ({"title": "x", "seats": True}, "/seats", "Expected `int`, got `bool`"),
        ({"seats": 1}, "/title", "Object missing required field `title`"),
        ({"title": "x", "seats": 1, "revision": 7}, "/revision", "Object contains unknown field `revision`"),
        ({"title": "x" * 11, "seats": 1}, "/title", "Expected `str` of length <= 10"),
        ({"title": "x", "seats": 13}, "/seats", "Expected `int` <= 12"),
        ({"title": "x", "seats": 0}, "/seats", "Expected `int` >= 1"),
        ({"title": "x", "seats": 1, "guests": [{"name": "甲"}, {"name": 7}]}, "/guests/1/name", "Expected `str`"),
        ({"title": "x", "seats": 1, "guests": [{"nom": "甲"}]}, "/guests/0/nom", "Object contains unknown field `nom`"),
        ({"title": "x", "seats": 1, "guests": [{"name": "甲"}] * 4}, "/guests", "Expected `array` of length <= 3"),
        ([], "", "Expected `object`, got `array`"),
        (None, "", "Expected `object`, got `null`"),
    ],
)
def test_an_invalid_body_is_refused_with_a_pointer(client: Client, body: object, pointer: str, detail: str) -> None:
    answer = client.post("/v1/feasts", content=json.dumps(body), headers=JSON)
    (error,) = problem(answer, 400, "invalid-request")["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"title": "x", "seats": 1, "seats": 12}', "/seats"),
        ('{"title": "x", "seats": 1, "seats": 1}', "/seats"),
        ('{"title": "x", "seats": 1, "se\\u0061ts": 12}', "/seats"),
        ('{"title": "x", "seats": 1, "guests": [{"name": "甲"}, {"name": "甲", "name": "乙"}]}', "/guests/1/name"),
    ],
)
def test_a_repeated_key_is_refused_with_its_pointer(client: Client, body: str, pointer: str) -> None:
    answer = client.post("/v1/feasts", content=body, headers=JSON)
    assert problem(answer, 400, "invalid-request")["errors"] == [
        {"pointer": pointer, "detail": "此项重复，请只保留一项。"}
    ]
    english = client.post("/v1/feasts", content=body, headers=JSON | {"accept-language": "en"})
    assert english.json()["errors"] == [{"pointer": pointer, "detail": "The key is repeated."}]


@pytest.mark.parametrize("limit", ["0", "101", "many", ""])
def test_a_parameter_out_of_range_is_refused_by_name(client: Client, limit: str) -> None:
    (error,) = problem(client.get(f"/v1/feasts?limit={limit}"), 400, "invalid-request")["errors"]
    assert error["pointer"] == "limit"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_a_body_in_another_media_type_is_refused(client: Client, media_type: str) -> None:
    answer = client.post("/v1/feasts", content=b'{"title": "x", "seats": 1}', headers={"content-type": media_type})
    problem(answer, 415, "unsupported-media-type")


def test_a_media_type_may_have_a_character_set(client: Client) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    assert client.post("/v1/feasts", content=b'{"title": "x", "seats": 1}', headers=headers).status_code == 201


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_ten_megabytes_is_refused_without_being_read_completely(feast_app: Litestar, announced: bool) -> None:
    chunk, read, sent = b"x" * 64_000, [0], list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        read[0] += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": read[0] < 10_000_000}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    if announced:
        headers.append((b"content-length", b"10000000"))
    scope: Any = {"type": "http", "method": "POST", "path": "/v1/feasts", "query_string": b"", "headers": headers}
    asyncio.run(feast_app(scope | {"scheme": "http", "root_path": "", "client": None}, receive, send))
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["type"] == "/problems/body-too-large"
    assert read[0] <= (0 if announced else 1_100_000)


def test_a_problem_of_a_service_keeps_its_members_and_is_in_the_callers_language(client: Client) -> None:
    chinese = problem(client.get("/v1/faults/unknown"), 404, "not-found")
    assert (chinese["detail"], chinese["feast_id"]) == ("没有这场宴席。", "f1")
    answer = client.get("/v1/faults/unknown", headers={"Accept-Language": "en-GB, zh;q=0.5"})
    assert problem(answer, 404, "not-found")["detail"] == "There is no such feast."
    assert answer.headers["content-language"] == "en"


def test_an_unhandled_conflict_is_reported_as_an_edit_conflict(client: Client) -> None:
    problem(client.get("/v1/faults/conflict"), 409, "edit-conflict")


def test_a_foreign_cursor_is_an_invalid_request(client: Client) -> None:
    (error,) = problem(client.get("/v1/faults/cursor"), 400, "invalid-request")["errors"]
    assert error["pointer"] == "cursor"


def test_an_internal_error_reveals_only_the_request_id(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    answer = client.get("/v1/faults/fault", headers={"X-Request-Id": "look-me-up", "Accept-Language": "en"})
    body = problem(answer, 500, "internal-error")
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert "treasure" not in answer.text
    assert "RuntimeError" not in answer.text
    line = json.loads(capsys.readouterr().out)
    assert (line["request_id"], line["fault"]) == ("look-me-up", "RuntimeError")
    assert "treasure of [number] is under the oak" in line["traceback"]


def test_the_root_leads_to_the_reference_page(client: Client) -> None:
    answer = client.get("/")
    assert answer.url.path == "/reference"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
