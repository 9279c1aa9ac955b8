import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from backend.operations.metrics import MAX_SCRAPES, _ScrapeHandler, gauge, serve_metrics
from tests.servers import free_port, wait_until


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(_ScrapeHandler, "timeout", 0.5)
    port = free_port()
    stop = serve_metrics("127.0.0.1", port, lambda: [gauge("people", "People", 3)])
    try:
        yield port
    finally:
        stop()


def scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        return response.read().decode()


def threads_of_scrapes() -> int:
    return sum("process_request_thread" in one.name for one in threading.enumerate())


def test_the_metrics_are_served(port: int) -> None:
    assert "people 3.0" in scrape(port)


def test_connections_that_send_nothing_take_no_threads_and_soon_give_way(port: int) -> None:
    with ExitStack() as idle:
        for _ in range(200):
            idle.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.2)
        assert threads_of_scrapes() <= MAX_SCRAPES + 1
        wait_until(lambda: threads_of_scrapes() == 0, lambda: f"{threads_of_scrapes()} are left")
        assert "people 3.0" in scrape(port)
