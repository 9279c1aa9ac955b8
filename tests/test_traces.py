"""Traces, as a real collector receives them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from backend.app import create_app
from backend.settings import Settings
from tests.conftest import Clock, SignIn, id_number_for

PHONE = "13800138000"


class Collector:
    """Receives traces by OTLP over HTTP."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.received.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.received]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def attributes(span: Span) -> dict[str, object]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


def test_a_request_and_what_it_asks_of_the_store_are_spans_of_one_trace(
    settings: Settings, clock: Clock, collector: Collector
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_port}/v1/traces"
    with TestClient(create_app(replace(settings, traces=endpoint), clock=clock)) as client:
        wang = SignIn(client)(PHONE, name="欧阳小明")
        parent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        answer = client.get("/v1/me/health-code?phone=" + PHONE, headers=wang | parent)
        assert answer.status_code == 200
        client.get("/v1/me", headers={"Authorization": "Bearer wrong"})
    spans = collector.spans()
    [request] = [span for span in spans if span.name == "GET /v1/me/health-code"]
    assert request.trace_id.hex() == "a" * 32
    assert request.parent_span_id.hex() == "b" * 16
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.route": "/v1/me/health-code",
        "http.response.status_code": 200,
        "chengma.request_id": answer.headers["x-request-id"],
    }
    within = [span for span in spans if span.parent_span_id == request.span_id]
    assert [span.name for span in within][:2] == ["get health_records", "get health_records"]
    assert "insert health_records" in {span.name for span in within}
    assert "GET /v1/me" in {span.name for span in spans}
    received = b"".join(collector.received)
    for personal in (PHONE, id_number_for(PHONE), "欧阳", wang["Authorization"][7:], "127.0.0.1"):
        assert personal.encode() not in received


def test_without_a_collector_nothing_is_traced(client: TestClient[Litestar]) -> None:
    assert type(client.app.state.city.store).__name__ == "SqliteStore"


def test_a_collector_that_is_away_disturbs_nobody(settings: Settings, collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_port}/v1/traces"
    collector.server.shutdown()
    with TestClient(create_app(replace(settings, traces=endpoint))) as client:
        assert client.get("/health/live").status_code == 200
    threading.Thread(target=collector.server.serve_forever, daemon=True).start()
