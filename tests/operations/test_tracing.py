"""Traces as a real collector receives them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.testing import TestClient
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from backend.app import create_app
from backend.city.service import City
from backend.security.identity import public
from backend.services.account.model.session import Session
from backend.settings import Settings
from tests.conftest import ROOT, Clock, SignIn, id_number_for

pytestmark = pytest.mark.slow

PHONE = "13800138000"


class Collector:
    """Receives traces over OTLP/HTTP."""

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
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

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


def test_a_request_and_its_store_operations_are_spans_of_one_trace(
    settings: Settings, clock: Clock, collector: Collector
) -> None:
    with TestClient(create_app(replace(settings, traces=collector.endpoint), clock=clock)) as client:
        wang = SignIn(client)(PHONE, name="欧阳小明")
        parent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": f"phone={PHONE}"}
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
    assert request.kind == Span.SPAN_KIND_SERVER
    assert request.status.code == Status.STATUS_CODE_UNSET
    within = [span for span in spans if span.parent_span_id == request.span_id]
    assert [span.name for span in within][:2] == ["get health_records", "get health_records"]
    assert "insert health_records" in {span.name for span in within}
    assert "GET /v1/me" in {span.name for span in spans}
    received = b"".join(collector.received)
    for personal in (PHONE, id_number_for(PHONE), "欧阳", wang["Authorization"][7:], "127.0.0.1"):
        assert personal.encode() not in received


@get("/v1/people/{phone:str}", guards=[public])
async def raise_error(phone: FromPath[str]) -> None:
    raise ValueError(f"nobody has the phone {phone}")


@get("/v1/devices/{number:str}", guards=[public])
async def delete_stale_session(number: FromPath[str], city: NamedDependency[City]) -> None:
    await city.store.delete(Session(id=number, revision=7, account_id="", refresh_digest="", expires_ms=0))


def test_errors_are_marked_without_their_messages(settings: Settings, clock: Clock, collector: Collector) -> None:
    app = create_app(replace(settings, traces=collector.endpoint), clock=clock)
    app.register(raise_error)
    app.register(delete_stale_session)
    with TestClient(app) as client:
        assert client.get(f"/v1/people/{PHONE}").status_code == 500
        assert client.get(f"/v1/devices/{PHONE}").status_code == 409
        assert client.get(f"/{PHONE}?phone={PHONE}").status_code == 404
        assert client.request(PHONE, "/v1/me").status_code == 405
    spans = {span.name: span for span in collector.spans()}
    assert spans["GET /v1/people/{phone}"].status.code == Status.STATUS_CODE_ERROR
    refused = spans["delete sessions"]
    assert refused.parent_span_id == spans["GET /v1/devices/{number}"].span_id
    assert (refused.status.code, refused.status.message) == (Status.STATUS_CODE_ERROR, "Conflict")
    assert attributes(refused) == {"db.operation.name": "delete", "db.collection.name": "sessions"}
    assert "GET none" in spans
    assert PHONE.encode() not in b"".join(collector.received)


def test_store_operations_outside_requests_create_no_spans(settings: Settings, collector: Collector) -> None:
    with TestClient(create_app(replace(settings, traces=collector.endpoint))) as client:
        assert client.blocking_portal.call(client.app.state.city.store.count, Session, {}) == 0
    assert not collector.spans()


def test_without_a_collector_opentelemetry_is_not_imported(settings: Settings) -> None:
    variables = {f"CHENGMA_{name.upper()}": str(getattr(settings, name)) for name in ("store", "keys", "rules")}
    code = (
        "import os, sys\n"
        "from backend.app import create_app\n"
        "from backend.settings import read_settings\n"
        "app = create_app(read_settings(os.environ))\n"
        "ours = ('backend.operations.tracing', 'opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.trace')\n"
        "print(type(app.state.city.store).__name__, [name for name in ours if name in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.stdout == "SqliteStore []\n", finished.stderr


def test_a_missing_collector_does_not_affect_requests(settings: Settings, collector: Collector) -> None:
    collector.server.shutdown()
    with TestClient(create_app(replace(settings, traces=collector.endpoint))) as client:
        assert client.get("/health/live").status_code == 200
    threading.Thread(target=collector.server.serve_forever, daemon=True).start()
