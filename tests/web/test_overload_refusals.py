"""An overloaded server refuses requests before the application reads them, cheaply, completely and in order."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from litestar import Litestar
from msgspec.structs import replace

from backend.operations.load_shedding import MOST_ROOM, LoadShedder, Rank
from backend.web import overload_refusals
from backend.web.overload_refusals import (
    LEAST_REFUSALS,
    MAX_DRAINED_BYTES,
    REFUSALS_PER_REQUEST,
    OverloadRefusals,
)
from backend.web.request_ranks import rank_of
from tests.servers import wait_until
from tests.web.front_scene import CHUNKED, GET, PATIENT, Running, ask, connected, problem, serve

POST = b"POST /echo HTTP/1.1\r\nHost: city.test\r\nContent-Length: %d\r\n\r\n"
NEXT = GET.replace(b"/echo", b"/early")


@contextmanager
def full(running: Running) -> Iterator[None]:
    """Let the process have as many requests of each audience in flight as there may ever be."""
    load_shedder = running.load_shedder
    load_shedder.in_flight += 2 * MOST_ROOM
    for audience in load_shedder._in_flight_of:
        load_shedder._in_flight_of[audience] += 2 * MOST_ROOM
    yield
    load_shedder.in_flight -= 2 * MOST_ROOM
    for audience in load_shedder._in_flight_of:
        load_shedder._in_flight_of[audience] -= 2 * MOST_ROOM


def test_a_refusal_is_a_problem_that_says_when_to_try_again_and_its_connection_stays() -> None:
    with serve() as running, connected(running.port) as (client,):
        with full(running):
            status, headers, body = client.send(GET[:-2] + b"Accept-Language: fr, en;q=0.8\r\n\r\n").response()
        assert (status, headers["retry-after"], headers["content-language"]) == (503, "2", "en")
        assert headers["content-type"] == "application/problem+json"
        assert "connection" not in headers
        content = json.loads(body)
        assert content["type"] == "/problems/unavailable"
        assert content["request_id"] == headers["x-request-id"]
        assert client.send(GET).response()[0] == 200


def test_a_refused_request_is_counted_with_its_method() -> None:
    with serve() as running, full(running):
        ask(running.port, GET)
        counts = running.server._access_log.request_counts
        wait_until(lambda: ("GET", "none", 503) in (counts.count() or counts.routes))
        assert running.load_shedder.refused == 1


def test_a_head_request_is_refused_without_a_body() -> None:
    with serve() as running, full(running), connected(running.port) as (client,):
        client.send(GET.replace(b"GET", b"HEAD"))
        time.sleep(0.2)
        received = client.socket.recv(10_000)
        assert received.startswith(b"HTTP/1.1 503")
        assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("pieces", [1, 7])
def test_the_body_of_a_refused_request_is_read_to_its_end(pieces: int) -> None:
    body = b"GET /early HTTP/1.1\r\n\r\n" * 5_000
    with serve() as running, connected(running.port) as (client,):
        with full(running):
            client.send(POST % len(body))
            size = len(body) // pieces + 1
            for start in range(0, len(body), size):
                time.sleep(0.02)
                client.send(body[start : start + size])
            assert client.response()[0] == 503
        status, _, answer = client.send(GET).response()
        assert (status, json.loads(answer)["size"]) == (200, 0)


def test_a_chunked_body_of_a_refused_request_is_read_to_its_end() -> None:
    with serve() as running, connected(running.port) as (client,):
        with full(running):
            assert client.send(CHUNKED, b"1\r\nx\r\n" * 500, b"0\r\n\r\n").response()[0] == 503
        assert client.send(GET).response()[0] == 200


def test_a_refused_request_that_arrives_byte_by_byte_is_refused_once() -> None:
    with serve() as running, connected(running.port) as (client,):
        with full(running):
            client.send(GET[:12])
            for at in range(12, len(GET)):
                time.sleep(0.002)
                client.send(GET[at : at + 1])
            assert client.response()[0] == 503
        assert client.send(NEXT).response()[0] == 401


def test_a_client_that_asks_whether_to_send_its_body_is_refused_without_it() -> None:
    with serve() as running, full(running), connected(running.port) as (client,):
        client.send((POST % 5)[:-2] + b"Expect: 100-continue\r\n\r\n")
        assert problem(client.response())[0] == 503
        assert client.seconds_until_closed() < 5


def test_the_connection_ends_if_the_body_of_a_refused_request_is_too_long() -> None:
    with serve() as running, full(running), connected(running.port) as (client,):
        with suppress(OSError):
            client.send(POST % 100_000_000, b"x" * (MAX_DRAINED_BYTES + 200_000))
        assert problem(client.response())[0] == 503


def test_the_headers_of_a_refused_request_are_bounded() -> None:
    with serve() as running, full(running), connected(running.port) as (client,):
        client.send(GET[:-2] + b"x: " + b"y" * 40_000)
        assert problem(client.response())[0] == 431


def test_a_refused_request_has_deadlines_too() -> None:
    with serve(replace(PATIENT, body_seconds=0.3)) as running, full(running), connected(running.port) as (client,):
        assert problem(client.send(POST % 5, b"he").response())[0] == 408


def test_pipelined_requests_that_are_refused_are_all_answered() -> None:
    with serve() as running, connected(running.port) as (client,):
        with full(running):
            client.send(GET * 20)
            assert [client.response()[0] for _ in range(20)] == [503] * 20
        assert client.send(GET).response()[0] == 200


def test_a_flood_of_pipelined_requests_is_refused_only_so_often() -> None:
    with serve() as running, full(running), connected(running.port) as (client,):
        client.send(GET * 500)
        answered = 0
        with suppress(ConnectionError):
            while client.response()[0] == 503:
                answered += 1
        assert 1 <= answered <= PATIENT.pipelined_requests
        wait_until(lambda: running.connections == 0)


@pytest.mark.parametrize(
    "request_", [GET[:-2] + b"Connection: close\r\n\r\n", GET.replace(b"1.1", b"1.0")], ids=["close", "1.0"]
)
def test_a_refusal_ends_the_connection_if_the_client_wants_no_other(request_: bytes) -> None:
    with serve() as running, full(running), connected(running.port) as (client,):
        assert problem(client.send(request_).response())[0] == 503
        assert client.seconds_until_closed() < 5


def test_what_is_not_http_is_a_bad_request_under_overload_too() -> None:
    with serve() as running, full(running):
        assert problem(ask(running.port, b"GET /x HTTP/1.1\r\nno colon\r\n\r\n"))[0] == 400


def test_refusals_beyond_the_pace_wait_and_are_all_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload_refusals, "LEAST_REFUSALS", 5)
    with serve() as running, connected(running.port, 23) as clients, full(running):
        began = time.monotonic()
        for client in clients:
            client.send(GET)
        assert [client.response()[0] for client in clients] == [503] * 23
        assert time.monotonic() - began > 0.3, "five in each tenth of a second"
        assert [client.send(GET).response()[0] for client in clients[:3]] == [503] * 3


class Waiting:
    """A connection that counts how often its refusal was sent."""

    def __init__(self) -> None:
        self.sent = 0

    def release(self, now: float) -> None:
        del now
        self.sent += 1


def test_two_requests_that_end_let_nine_refusals_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload_refusals, "PACE_SECONDS", 60)

    async def refuse() -> None:
        load_shedder = LoadShedder()
        refusals, waiting = OverloadRefusals(load_shedder, {}), [Waiting() for _ in range(100)]
        loop = asyncio.get_running_loop()
        assert sum(refusals.pace(Waiting(), loop.time()) for _ in range(LEAST_REFUSALS)) == LEAST_REFUSALS
        assert not any(refusals.pace(one, loop.time()) for one in waiting)
        load_shedder.ended += 20
        refusals.pace(Waiting(), loop.time())
        await asyncio.sleep(0.01)
        assert sum(one.sent for one in waiting) == 20 * REFUSALS_PER_REQUEST

    asyncio.run(refuse())


def test_what_ended_while_a_server_was_too_busy_to_release_refusals_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overload_refusals, "PACE_SECONDS", 60)

    async def refuse() -> None:
        load_shedder = LoadShedder()
        refusals, waiting = OverloadRefusals(load_shedder, {}), [Waiting() for _ in range(LEAST_REFUSALS + 1_300)]
        now = asyncio.get_running_loop().time()
        for one in waiting:
            refusals.pace(one, now)
        load_shedder.ended += 200
        refusals.pace(Waiting(), now + 120)  # a round of the loop took longer than the pace, so its timer is late
        refusals._release()
        assert sum(one.sent for one in waiting) == 200 * REFUSALS_PER_REQUEST

    asyncio.run(refuse())


def test_a_client_that_hangs_up_while_its_refusal_waits_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload_refusals, "LEAST_REFUSALS", 1)
    with serve() as running:
        with full(running), connected(running.port, 20) as clients:
            for client in clients:
                client.send(GET)
        wait_until(lambda: running.connections == 0)
        assert running.load_shedder.in_flight == 0
        assert ask(running.port, GET)[0] == 200


def test_what_a_client_sends_while_its_refusal_waits_is_handled_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload_refusals, "LEAST_REFUSALS", 1)
    with serve() as running, connected(running.port, 12) as clients, full(running):
        for client in clients:
            client.send(GET)
        time.sleep(0.05)
        for client in clients:
            client.send((POST % 5)[:20])
            client.send((POST % 5)[20:], b"hello", GET)
        assert [[client.response()[0] for _ in range(3)] for client in clients] == [[503] * 3] * 12
        for client in clients:
            client.send(GET)
        assert [client.response()[0] for client in clients] == [503] * 12


def test_requests_that_wait_behind_a_refusal_are_served_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload_refusals, "LEAST_REFUSALS", 1)
    monkeypatch.setattr(overload_refusals, "PACE_SECONDS", 0.5)
    with serve() as running, connected(running.port, 2) as (first, second):
        with full(running):
            first.send(GET).response()
            second.send(GET)
            time.sleep(0.05)
            second.send(NEXT)
            time.sleep(0.05)
        assert [second.response()[0] for _ in range(2)] == [503, 401]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_access_log_has_a_refusal_with_the_id_that_its_client_was_told(
    method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(writes=True) as running, full(running):
        _, headers, _ = ask(running.port, GET.replace(b"GET", method.encode()))
        lines: list[str] = []
        wait_until(lambda: lines.extend(capfd.readouterr().out.splitlines()) or lines)
    line = json.loads(next(line for line in lines if headers["x-request-id"] in line))
    assert (line["method"], line["status"], line["route"], line["duration_ms"]) == (method, 503, None, 0)
    assert set(line) == {"time", "method", "route", "status", "duration_ms", "request_id"}


@pytest.mark.parametrize("name", ["Accept-Language", "accept-language", "ACCEPT-language"])
def test_a_refusal_is_in_the_language_of_its_client_however_the_header_is_written(name: str) -> None:
    with serve() as running, full(running):
        _, headers, _ = ask(running.port, GET[:-2] + f"{name}: en\r\n\r\n".encode())
        assert headers["content-language"] == "en"


# ── ranks ──


@pytest.mark.parametrize(
    ("request_line", "rank"),
    [
        (b"GET /v1/me/health-code HTTP/1.1", Rank("essential", "citizens")),
        (b"GET /v1/me/health-code?x=/health/live HTTP/1.1", Rank("essential", "citizens")),
        (b"POST /v1/verifications HTTP/1.1", Rank("essential", "gates")),
        (b"GET /v1/me/health-code/image.svg HTTP/1.1", Rank("decoration", "citizens")),
        (b"POST /v1/sessions HTTP/1.1", Rank("ordinary", "citizens")),
        (b"GET /v1/me/claims/c-1 HTTP/1.1", Rank("ordinary", "citizens")),
        (b"POST /fhir/token HTTP/1.1", Rank("ordinary", "institutions")),
        (b"GET /fhir/Encounter/e-1 HTTP/1.1", Rank("ordinary", "institutions")),
        (b"PUT /v1/hospital/days/2026-11-24/file HTTP/1.1", Rank("ordinary", "institutions")),
        (b"GET /nothing/here HTTP/1.1", Rank("ordinary", "citizens")),
        (b"GET /health/live/nothing HTTP/1.1", Rank("ordinary", "citizens")),
        (b"GET /" + b"a/" * 9_000 + b" HTTP/1.1", Rank("ordinary", "citizens")),
        (b"GET /health/live HTTP/1.1", None),
        (b"GET /health/ready HTTP/1.1", None),
        (b"GET /v1/me", None),
    ],
    ids=lambda value: value[:60].decode() if isinstance(value, bytes) else "",
)
def test_the_rank_of_a_request_is_that_of_its_route(app: Litestar, request_line: bytes, rank: Rank | None) -> None:
    assert rank_of(request_line, app.state.overload_refusals.ranks) == rank


def test_a_hospital_is_refused_in_the_format_of_fhir(app: Litestar) -> None:
    answer = app.state.overload_refusals.answer_to(b"GET /fhir/Encounter HTTP/1.1\r\nHost: x\r\n\r\n", "https")
    message = answer.message((), b"r-1", b"GET", is_kept=True)
    head, _, body = message.partition(b"\r\n\r\n")
    assert b"content-type: application/fhir+json\r\n" in head
    assert b"strict-transport-security" in head
    assert json.loads(body)["resourceType"] == "OperationOutcome"
    assert json.loads(body)["id"] == "r-1"
    assert b"content-length: %d" % len(body) in head
