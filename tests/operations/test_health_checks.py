"""Health checks, and metrics for Prometheus."""

import re
import socket
import urllib.request
from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from backend.app import create_app
from backend.city.service import City
from backend.rulebook import Rulebook
from backend.settings import Settings
from tests.conftest import Clock, SignIn


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, metrics_port=free_port(), address_requests_per_minute=10)


@pytest.fixture
def client(settings: Settings, clock: Clock) -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(settings, clock=clock)) as client:
        yield client


def metrics(settings: Settings) -> dict[tuple[str, tuple[str, ...]], float]:
    """Read the metrics as Prometheus does; return them by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer:
        text = answer.read().decode()
    assert not re.search(r"138001380", text), "no metric contains a phone number"
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_server_is_live_and_ready_at_every_check(client: TestClient[Litestar]) -> None:
    for _ in range(15):
        assert client.get("/health/live").json() == {"alive": True}
        answer = client.get("/health/ready")
        assert answer.status_code == 200
    assert answer.json() == {
        "store": "ok",
        "broker": "none: the server runs background jobs itself",
        "keys": "ok",
        "rulebook": "ok",
    }


def test_a_server_whose_keys_cannot_be_read_is_not_ready(client: TestClient[Litestar]) -> None:
    client.app.state.city.keys.fault = "keys/token_x.json: not a key file"
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["keys"]) == (503, "keys/token_x.json: not a key file")


def test_a_server_whose_rulebook_lacks_a_module_is_not_ready(client: TestClient[Litestar]) -> None:
    city: City = client.app.state.city
    rulebook = city.rulebook
    fewer = {name: module for name, module in rulebook.modules.items() if name != "health_code.colour"}
    lacking = Rulebook(fewer, rulebook.texts, rulebook.digest, rulebook.time_zone)
    client.app.state.city = replace(city, rulebook=lacking)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["rulebook"] == "the module 'health_code.colour' is missing, which the city evaluates"


def test_a_server_stays_ready_without_its_broker(settings: Settings) -> None:
    broker = f"redis://127.0.0.1:{free_port()}/0"
    with TestClient(create_app(replace(settings, broker=broker))) as client:
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["broker"]) == (200, "does not answer")
        assert metrics(settings)["chengma_jobs_waiting", ()] == -1


def test_metrics_include_rates_latencies_verdicts_and_the_rulebook(
    client: TestClient[Litestar], settings: Settings
) -> None:
    wang = SignIn(client)("13800138000", name="王芳")
    for _ in range(3):
        client.get("/v1/me/health-code", headers=wang)
    client.get("/v1/me/health-code")
    found = metrics(settings)
    code = ("GET", "/v1/me/health-code")
    assert found["chengma_request_seconds_count", (*code, "200")] == 3
    assert found["chengma_request_seconds_count", (*code, "401")] == 1
    assert 0 < found["chengma_request_seconds_sum", (*code, "200")] < 3
    assert found["chengma_request_seconds_bucket", ("+Inf", *code, "200")] == 3
    assert found["chengma_verdicts_total", ("health_code.colour", "green", "otherwise")] == 3
    assert found["chengma_rulebook", (client.app.state.city.rulebook.digest,)] == 1
    assert found["chengma_requests_in_flight", ()] == 0
    assert found["chengma_requests_refused", ()] == 0
    assert found["chengma_jobs_waiting", ()] == 0
    assert found["chengma_store_away", ()] == 0


def test_metrics_are_not_served_on_the_public_port(client: TestClient[Litestar]) -> None:
    assert client.get("/metrics").status_code == 404


def test_the_metrics_port_is_free_again_after_the_server_stops(settings: Settings) -> None:
    for _ in range(2):
        with TestClient(create_app(settings)):
            assert metrics(settings)["chengma_jobs_waiting", ()] == 0
