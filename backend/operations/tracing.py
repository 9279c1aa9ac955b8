"""Traces of requests, sent by OpenTelemetry to the collector of the settings.

A span contains the route template, never the path; and for the store, the operation and the collection, never the
query. Errors are named by their type only, since their messages may contain the query. This module is imported only if
a collector is set.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from backend.operations.access_log import METHODS, REQUEST_ID
from backend.store import Store

OPERATIONS = ("get", "get_many", "find", "count", "insert", "replace", "delete", "restore")
_FAULT = 500
_TRACEPARENT = TraceContextTextMapPropagator()


class Tracing:
    """Sends spans to a collector by OTLP over HTTP, in batches and in a thread."""

    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": "chengma"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=5)))
        self._tracer: Tracer = self._provider.get_tracer("chengma")

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return an application that creates a span for each request; its parent is the span of `traceparent`."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = _FAULT

            async def answer(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            with self._tracer.start_as_current_span(
                "request", _parent(scope), SpanKind.SERVER, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    await app(scope, receive, answer)
                finally:
                    _describe(span, cast("Mapping[str, Any]", scope), status)

        return traced

    def store(self, store: Store) -> Store:
        """Return a store that creates a span for each operation within a request, and none outside of requests."""
        return cast("Store", _TracedStore(store, self._tracer))

    def end(self) -> None:
        """Send the pending spans."""
        self._provider.shutdown()


def _parent(scope: Scope) -> Context:
    """Return the context of `traceparent`. `tracestate` is ignored: a client could write anything into it."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return _TRACEPARENT.extract({"traceparent": value.decode("latin-1")}, Context())
    return Context()


def _describe(span: Span, scope: Mapping[str, Any], status: int) -> None:
    method = scope["method"] if scope["method"] in METHODS else "OTHER"
    route: str = scope.get("path_template") or "none"
    span.update_name(f"{method} {route}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("chengma.request_id", scope["state"].get(REQUEST_ID, ""))
    if status >= _FAULT:
        span.set_status(StatusCode.ERROR)


class _TracedStore:
    """A store whose operations create spans; everything else is delegated."""

    def __init__(self, store: Store, tracer: Tracer) -> None:
        self._store = store
        for name in OPERATIONS:
            setattr(self, name, _traced(name, getattr(store, name), tracer))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  any attribute of the store
        return getattr(self._store, name)


def _traced(name: str, operation: Callable[..., Any], tracer: Tracer) -> Callable[..., Any]:
    async def traced(first: Any, *others: Any, **named: Any) -> Any:  # noqa: ANN401  any operation's arguments
        if not get_current_span().get_span_context().is_valid:
            return await operation(first, *others, **named)
        kind: Any = first[0] if name == "restore" else first  # which takes many documents
        collection: str = kind.collection
        with tracer.start_as_current_span(
            f"{name} {collection}", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            span.set_attribute("db.operation.name", name)
            span.set_attribute("db.collection.name", collection)
            try:
                return await operation(first, *others, **named)
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    return traced
