import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.testing import TestClient

from backend.operations import access_log
from backend.operations.access_log import AccessLog
from backend.operations.load_shedding import LoadShedder
from tests.servers import wait_until


@get("/v1/people/{phone:str}")
async def person(phone: FromPath[str]) -> str:
    return phone


@get("/map", response_headers={"Cache-Control": "public, max-age=60", "Content-Security-Policy": "default-src 'self'"})
async def city_map() -> str:
    return "map"


def served(*, writes: bool = True) -> Litestar:
    app = Litestar([person, city_map], openapi_config=None, logging_config=None)
    log = AccessLog(app.asgi_handler, LoadShedder(100), writes=writes)
    app.asgi_handler = log
    app.on_shutdown.append(log.flush)
    return app


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_contains_the_route_and_never_the_path_or_the_query(capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(served()) as client:
        client.get("/v1/people/13800138000?id=110101199003070012", headers={"Authorization": "Bearer secret"})
    (line,) = lines(capsys)
    assert line["method"] == "GET"
    assert line["route"] == "/v1/people/{phone}"
    assert line["status"] == 200
    assert line["duration_ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert set(line) == {"time", "method", "route", "status", "duration_ms", "request_id"}


def test_an_unknown_path_and_an_invented_method_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(served()) as client:
        client.get("/13800138000")
        client.request("13800138000", "/v1/people/x")
    assert [(line["method"], line["route"]) for line in lines(capsys)] == [("GET", None), ("OTHER", None)]


def test_a_response_is_neither_stored_nor_read_as_anything_else() -> None:
    with TestClient(served(), base_url="http://city.test") as client:
        headers = client.get("/v1/people/x").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "strict-transport-security" not in headers, "a browser would no longer reach the address without TLS"


def test_a_response_keeps_its_own_headers() -> None:
    with TestClient(served()) as client:
        headers = client.get("/map").headers
    assert headers.get_list("cache-control") == ["public, max-age=60"]
    assert headers.get_list("content-security-policy") == ["default-src 'self'"]


def test_behind_tls_browsers_are_told_to_stay_there() -> None:
    with TestClient(served(), base_url="https://city.test") as client:
        assert client.get("/v1/people/x").headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("sent", ["mine-1", "a" * 64, "A.b_c-9"])
def test_a_valid_request_id_is_used(sent: str, capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(served()) as client:
        assert client.get("/v1/people/x", headers={"X-Request-Id": sent}).headers["x-request-id"] == sent
    assert lines(capsys)[0]["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 65, "two words", 'quo"te', "line\tbreak", "号"])
def test_an_invalid_request_id_is_replaced(sent: str, capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(served()) as client:
        given = client.get("/v1/people/x", headers={"X-Request-Id": sent.encode()}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{18}", given)
    assert lines(capsys)[0]["request_id"] == given


def test_generated_request_ids_differ() -> None:
    with TestClient(served(writes=False)) as client:
        ids = {client.get("/v1/people/x").headers["x-request-id"] for _ in range(50)}
    assert len(ids) == 50


def test_nothing_is_written_when_the_log_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(served(writes=False)) as client:
        client.get("/v1/people/x")
    assert capsys.readouterr().out == ""


def test_lines_wait_for_at_most_a_quarter_of_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert access_log._FLUSH_SECONDS == 0.25
    monkeypatch.setattr(access_log, "_FLUSH_SECONDS", 1)  # so that the line is still waiting on a slow machine
    written: list[dict[str, Any]] = []
    with TestClient(served()) as client:
        client.get("/v1/people/x")
        assert capsys.readouterr().out == ""
        wait_until(lambda: written.extend(lines(capsys)) or written)
    assert len(written) == 1


def test_an_error_is_logged_with_its_traceback_but_without_personal_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("no such person: 11010119900307001X, 13800138000")
    scope = {"path_template": "/v1/me", "state": {"request_id": "r1"}}
    AccessLog(served(), LoadShedder(100)).fault(scope, caught.value)
    (line,) = lines(capsys)
    assert (line["fault"], line["route"], line["request_id"]) == ("ValueError", "/v1/me", "r1")
    assert "test_access_log.py" in line["traceback"]
    assert "invalid literal for int() with base 10: 'no such person: [number], [number]'" in line["traceback"]
    assert "1990" not in line["traceback"]


def test_a_log_on_a_full_disk_loses_lines_and_continues_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """/dev/full refuses every write, as a full disk does."""
    with TestClient(served()) as client:
        with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as patch:
            patch.setattr("sys.stdout", full)
            client.get("/map")
            wait_until(lambda: client.app.asgi_handler._lines == [])
        client.get("/v1/people/lost")
    assert [line["route"] for line in lines(capsys)] == ["/v1/people/{phone}"]
