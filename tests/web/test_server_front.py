"""Connections are limited in size and number; what is within the limits is served as by uvicorn itself."""

import json
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.operations.load_shedding import Audience, BegunRequest, LoadShedder
from tests.integrations.his.hl7v2.mllp_scene import Authority
from tests.servers import wait_until
from tests.web.front_scene import CHUNKED, GET, PATIENT, SHORT, ask, connected, problem, serve

# ── headers ──


def request_with_headers(size: int, count: int = 1) -> bytes:
    """Return a request whose request line and headers have `size` bytes together."""
    rest = size - len(GET)
    each = rest // count
    sizes = [each] * (count - 1) + [rest - each * (count - 1)]
    headers = b"".join(b"x-%03d: %b\r\n" % (number, b"y" * (size - 9)) for number, size in enumerate(sizes))
    request = GET[:-2] + headers + b"\r\n"
    assert len(request) == size
    return request


@pytest.mark.parametrize("count", [1, 20, 200])
def test_headers_of_up_to_32_kb_are_accepted(count: int) -> None:
    with serve() as running:
        assert ask(running.port, request_with_headers(32_768, count))[0] == 200
        assert problem(ask(running.port, request_with_headers(32_769, count))) == (
            431,
            "/problems/headers-too-large",
            "zh",
        )


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * 40_000,
        GET[:-2] + b"x: " + b"y" * 40_000,
        GET[:-2] + b"x" * 40_000,
        GET[:-2] + b"x: y\r\n" * 8_000,
        b"\r\n" * 20_000,
        b"G" * 40_000,
    ],
)
def test_headers_that_do_not_end_are_refused(request_: bytes) -> None:
    with serve() as running, connected(running.port) as (client,):
        assert client.send(request_).response()[0] in (400, 431)


def test_headers_that_arrive_byte_by_byte_are_bounded_too() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(GET[:-2] + b"Accept-Language: en\r\nx: ")
        for _ in range(320):
            client.send(b"y" * 100)
        assert problem(client.send(b"y" * 1_000).response()) == (431, "/problems/headers-too-large", "en")


def test_a_flood_of_headers_is_cut_off() -> None:
    with serve() as running, connected(running.port) as (client,):
        began = time.process_time()
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            client.send(GET[:-2], *(b"x: " + b"y" * 1_000_000 for _ in range(141)))
        assert time.process_time() - began < 1
        assert ask(running.port, GET)[0] == 200


def test_large_headers_behind_another_request_are_not_answered_out_of_order() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(GET + request_with_headers(80_000))
        assert client.response()[0] == 200
        with suppress(ConnectionError):
            assert problem(client.response())[0] == 431


def test_a_request_that_is_not_http_is_answered_with_a_problem() -> None:
    with serve() as running:
        assert problem(ask(running.port, b"GET / HTTP/1.1\r\nno colon\r\n\r\n")) == (
            400,
            "/problems/invalid-request",
            "zh",
        )


# ── bodies ──


def test_a_body_may_be_larger_than_the_headers() -> None:
    with serve() as running:
        request = b"POST /echo HTTP/1.1\r\nContent-Length: 900000\r\n\r\n"
        status, _, body = ask(running.port, request + b"x" * 900_000)
        assert (status, json.loads(body)["size"]) == (200, 900_000)


def test_a_chunked_body_of_single_bytes_is_accepted() -> None:
    with serve() as running:
        status, _, body = ask(running.port, CHUNKED, b"1\r\nx\r\n" * 50_000, b"0\r\n\r\n")
        assert (status, json.loads(body)["size"]) == (200, 50_000)


def test_the_end_of_large_headers_may_arrive_with_a_large_body() -> None:
    with serve() as running, connected(running.port) as (client,):
        large = b"x: " + b"y" * 29_000 + b"\r\n"
        request = b"PUT /echo HTTP/1.1\r\n" + large + b"Content-Length: 60000\r\n\r\n"
        client.send(request[:20_000])
        time.sleep(0.1)
        assert json.loads(client.send(request[20_000:] + b"x" * 60_000).response()[2])["size"] == 60_000


@pytest.mark.parametrize(
    "endless",
    [
        b"1;" + b"e" * 200_000,
        b"1;e=" + b"e" * 30_000 + b"\r\nx\r\n" + b"1;e=" + b"e" * 100_000,
        b"1\r\nx\r\n0\r\nx: " + b"y" * 200_000,
        b"1\r\nx\r\n0\r\n" + b"x: y\r\n" * 30_000,
        (b"1;e=" + b"e" * 1_000 + b"\r\nx\r\n") * 200,
    ],
)
def test_chunk_extensions_and_trailers_are_bounded(endless: bytes) -> None:
    with serve() as running:
        assert problem(ask(running.port, CHUNKED, endless))[0] == 431
        wait_until(lambda: running.load_shedder.in_flight == 0)


def test_trailers_are_dropped() -> None:
    with serve() as running:
        _, _, body = ask(running.port, CHUNKED, b"1\r\nx\r\n", b"0\r\nAuthorization: Bearer x\r\n\r\n")
        assert json.loads(body)["headers"] == ["host", "transfer-encoding"]


def test_the_rest_of_a_body_after_an_early_response_is_skipped() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(b"POST /early HTTP/1.1\r\nContent-Length: 500000\r\n\r\n")
        assert client.response()[0] == 401
        client.send(b"x" * 500_000, GET)
        assert client.response()[0] == 200


# ── the number of connections ──


def test_half_open_connections_give_way_to_new_ones() -> None:
    with serve(replace(PATIENT, connections=40)) as running, connected(running.port) as (kept,):
        assert kept.send(GET).response()[0] == 200
        with connected(running.port, 200):
            assert [ask(running.port, GET)[0] for _ in range(50)] == [200] * 50
            assert running.connections <= 40
        assert kept.send(GET).response()[0] == 200, "a connection that completed a request is closed last"


def test_slow_bodies_give_way_to_new_connections() -> None:
    with serve(replace(PATIENT, connections=40, body_seconds=60)) as running, connected(running.port, 40) as slow:
        for client in slow:
            client.send(CHUNKED)
        wait_until(lambda: running.connections == 40)
        assert [ask(running.port, GET)[0] for _ in range(50)] == [200] * 50


def test_connections_are_accepted_together() -> None:
    with serve() as running, connected(running.port, 500):
        wait_until(lambda: running.connections == 500)


# ── as before ──


def test_pipelined_requests_are_answered_in_order() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(b"".join(b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (n, b"x" * n) for n in range(50)))
        assert [json.loads(client.response()[2])["size"] for _ in range(50)] == list(range(50))


def test_a_flood_of_pipelined_requests_is_cut_off_after_the_first() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(GET * 500)
        answered = 0
        with suppress(ConnectionError):
            while client.response()[0] == 200:
                answered += 1
        assert 1 <= answered <= 66
        wait_until(lambda: running.connections == 0)


def test_a_head_request_has_no_body() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(GET.replace(b"GET", b"HEAD"))
        time.sleep(0.2)
        received = client.socket.recv(10_000)
        assert received.startswith(b"HTTP/1.1 200")
        assert received.endswith(b"\r\n\r\n")


def test_a_client_may_wait_for_permission_to_send_its_body() -> None:
    with serve() as running, connected(running.port) as (client,):
        client.send(b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.response()[0] == 100
        assert json.loads(client.send(b"hello").response()[2])["size"] == 5


def test_an_upgrade_is_answered_as_a_plain_request() -> None:
    with serve() as running:
        request = b"GET /echo HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
        assert ask(running.port, request)[0] == 200


def test_hang_ups_leave_nothing_behind() -> None:
    with serve() as running:
        for request in (b"", GET, GET[:9], CHUNKED, CHUNKED + b"5\r\nhe", b"GET /large HTTP/1.1\r\n\r\n"):
            with connected(running.port, 20) as clients:
                for client in clients:
                    client.send(request)
        wait_until(lambda: running.connections == 0)
        wait_until(lambda: running.load_shedder.in_flight == 0)


def test_requests_whose_bodies_have_not_come_are_no_load_from_the_first_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are all read in one turn of the loop, which is held up meanwhile, before any of their tasks runs."""
    in_flight: list[int] = []
    begin = LoadShedder.begin

    def noted(load_shedder: LoadShedder, *audience: Audience, is_admitted: bool = False) -> BegunRequest:
        if not in_flight:
            time.sleep(0.5)
        request = begin(load_shedder, *audience, is_admitted=is_admitted)
        in_flight.append(load_shedder.in_flight)
        return request

    monkeypatch.setattr(LoadShedder, "begin", noted)
    with serve() as running, connected(running.port, 201) as (first, *others):
        first.send(GET)
        for client in others:
            client.send(CHUNKED + b"5\r\nhe")
        wait_until(lambda: len(in_flight) == 201)
        assert max(in_flight) <= 2
        assert others[0].send(b"llo\r\n0\r\n\r\n").response()[0] == 200
    wait_until(lambda: running.load_shedder.in_flight == 0)


def test_an_early_response_leaves_nothing_of_a_body_that_comes_later() -> None:
    with serve() as running, connected(running.port) as (client,):
        for _ in range(3):
            client.send(CHUNKED.replace(b"/echo", b"/early"), b"5\r\nhe")
            assert client.response()[0] == 401
            client.send(b"llo\r\n", b"0\r\n\r\n")
        assert client.send(GET).response()[0] == 200
        wait_until(lambda: running.load_shedder.in_flight == 0)


def test_the_client_address_is_known() -> None:
    with serve() as running:
        assert json.loads(ask(running.port, GET)[2])["client"] == "127.0.0.1"


def test_the_limits_hold_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "city")
    certificate, key = authority.certify("server")
    context = ssl.create_default_context(cafile=str(authority.own))
    context.check_hostname = False
    with serve(SHORT, ssl_certfile=certificate, ssl_keyfile=key) as running:
        with connected(running.port, 4, context) as (honest, large, slow, silent):
            assert honest.send(GET).response()[0] == 200
            assert problem(large.send(GET[:-2] + b"x: " + b"y" * 40_000).response())[0] == 431
            assert problem(slow.send(CHUNKED).response())[0] == 408
            assert silent.seconds_until_closed() < 3
        with connected(running.port) as (without_handshake,):
            assert without_handshake.seconds_until_closed() < 3
