"""A client must send its requests, and read its responses, in time."""

import threading
import time
from contextlib import suppress

import pytest
from msgspec.structs import replace

from tests.servers import wait_until
from tests.web.front_scene import CHUNKED, GET, LARGE, SHORT, Client, ask, connected, problem, serve


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_that_sends_no_request_is_closed(sent: bytes) -> None:
    with serve(SHORT) as running, connected(running.port) as (client,):
        assert 0.2 < client.send(sent).seconds_until_closed() < 3


def test_headers_must_be_complete_in_time() -> None:
    with serve(SHORT) as running, connected(running.port) as (client,):
        for byte in GET[:12]:
            client.send(bytes([byte]))
            time.sleep(0.01)
        assert problem(client.response()) == (408, "/problems/request-timeout", "zh")


def drip(client: Client, part: bytes) -> None:
    """Send a few bytes again and again until the connection is closed."""
    for _ in range(300):
        with suppress(OSError):
            client.send(part)
        time.sleep(0.01)
        if client.socket.fileno() < 0:
            return


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"POST /echo HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", b""),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", b""),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"1;", b"e"),
        (CHUNKED + b"0\r\n", b"x: y\r\n"),
    ],
)
def test_a_body_must_arrive_in_time(head: bytes, part: bytes) -> None:
    with serve(SHORT) as running, connected(running.port) as (client,):
        dripping = threading.Thread(target=drip, args=(client.send(head), part))
        dripping.start()
        status = client.response()
        if b"Expect" in head:
            assert status[0] == 100
            status = client.response()
        assert problem(status) == (408, "/problems/request-timeout", "zh")
        wait_until(lambda: running.connections == 0)
        assert running.load_shedder.in_flight == 0
        client.socket.close()
        dripping.join()


def test_a_large_body_that_arrives_at_the_minimal_rate_is_accepted() -> None:
    limits = replace(SHORT, bytes_per_second=20_000)
    with serve(limits) as running, connected(running.port) as (client,):
        client.send(b"POST /echo HTTP/1.1\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * 3_000)
            time.sleep(0.1)
        assert client.response()[0] == 200


def test_the_rest_of_a_body_after_an_early_response_must_arrive_in_time() -> None:
    with serve(SHORT) as running, connected(running.port) as (client,):
        client.send(b"POST /early HTTP/1.1\r\nContent-Length: 500000\r\n\r\n")
        assert client.response()[0] == 401
        assert client.send(b"x").seconds_until_closed() < 3


def test_a_kept_connection_is_closed_when_it_is_idle_or_its_next_request_is_slow() -> None:
    with serve(SHORT) as running, connected(running.port, 2) as (idle, slow):
        for client in (idle, slow):
            assert client.send(GET).response()[0] == 200
        assert problem(slow.send(GET[:20]).response())[0] == 408
        assert idle.seconds_until_closed() < 3


def test_a_connection_is_kept_for_the_next_request() -> None:
    with serve(replace(SHORT, idle_seconds=30)) as running, connected(running.port) as (client,):
        assert client.send(GET).response()[0] == 200
        time.sleep(1.2)
        assert client.send(GET).response()[0] == 200


def test_a_client_that_does_not_read_its_response_is_disconnected() -> None:
    limits = replace(SHORT, bytes_per_second=100_000_000)
    with serve(limits) as running, connected(running.port, 3) as clients:
        for client in clients:
            client.send(
                b"GET /large HTTP/1.1\r\nConnection: %b\r\n\r\n" % (b"close" if client is clients[0] else b"keep-alive")
            )
        wait_until(lambda: running.connections == 3)
        wait_until(lambda: running.connections == 0)
        assert running.load_shedder.in_flight == 0


def test_a_client_that_reads_its_response_gets_all_of_it() -> None:
    with serve(replace(SHORT, bytes_per_second=4_000)) as running:
        assert len(ask(running.port, b"GET /large HTTP/1.1\r\n\r\n")[2]) == LARGE
