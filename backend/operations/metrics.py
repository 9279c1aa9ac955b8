"""Metrics for Prometheus: request counts and latencies, decisions, and waiting jobs."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import BoundedSemaphore, Lock
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from msgspec import Struct
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.city.service import City
from backend.operations.load_shedding import Unavailable

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The buckets of all latencies, in seconds."""


class _RouteCounts(Struct):
    """The latencies of the requests of one route."""

    seconds: float = 0.0
    buckets: list[int] = []


AnsweredRequest = tuple[float, str, str | None, int, float, str]
"""An answered request: time, method, route, status, duration in seconds, and id."""


class RequestCounts:
    """Counts the requests that a process has answered, by method, route and status.

    Requests are collected in `answered` and counted in batches, which is cheaper.
    """

    def __init__(self) -> None:
        self.answered: deque[AnsweredRequest] = deque()
        self.refused: dict[str, int] = {}
        """How many requests with a method were refused because the process was overloaded; it only grows."""
        self.routes: dict[tuple[str, str, int], _RouteCounts] = {}
        self._refused_counted: dict[str, int] = {}
        self._counting = Lock()

    def count(self) -> None:
        """Count pending requests; called from the server thread and the Prometheus thread."""
        with self._counting:
            while self.answered:
                _, method, route, status, seconds, _ = self.answered.popleft()
                counts = self._of(method, route, status)
                counts.seconds += seconds
                counts.buckets[bisect_left(BOUNDS, seconds)] += 1
            for method, number in list(self.refused.items()):
                self._of(method, None, Unavailable.status).buckets[0] += number - self._refused_counted.get(method, 0)
                self._refused_counted[method] = number

    def _of(self, method: str, route: str | None, status: int) -> _RouteCounts:
        key = (method, route or "none", status)
        counts = self.routes.get(key)
        if counts is None:
            counts = self.routes[key] = _RouteCounts(buckets=[0] * (len(BOUNDS) + 1))
        return counts

    def read(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        self.count()
        family = HistogramMetricFamily(
            "chengma_request_seconds", "Answered requests", labels=("method", "route", "status")
        )
        for (method, route, status), counts in list(self.routes.items()):
            total, buckets = 0, list[tuple[str, float]]()
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts.buckets, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric((method, route, str(status)), buckets, counts.seconds)
        yield family


class JobCounts:
    """Counts the outcomes of the jobs that a process has run."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}

    def note(self, task: str, outcome: str) -> None:
        """Count an attempt: `done` or `retried`."""
        key = (task, outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def read(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        family = CounterMetricFamily("chengma_jobs", "Attempts of background jobs", labels=("task", "outcome"))
        for labels, count in list(self.outcomes.items()):
            family.add_metric(labels, count)
        yield family


def city_metrics(city: City) -> Iterator[Metric]:
    """Yield the decisions of the rules, and the rulebook in force."""
    decided = CounterMetricFamily(
        "chengma_verdicts", "Verdicts by module, rule and result", labels=("module", "rule", "result")
    )
    for labels, count in list(city.decision_counts.items()):
        decided.add_metric(labels, count)
    yield decided
    rulebook = GaugeMetricFamily("chengma_rulebook", "The rulebook in force; always 1", labels=("digest",))
    rulebook.add_metric((city.rulebook.digest,), 1)
    yield rulebook


def gauge(name: str, description: str, value: float) -> Metric:
    """Return a gauge with one value."""
    return GaugeMetricFamily(name, description, value)


class _Collector(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        return ()


def make_registry(read: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    """Return a registry that reads the metrics whenever Prometheus scrapes them."""
    registry = CollectorRegistry()
    registry.register(_Collector(read))
    return registry


SCRAPE_SECONDS = 5
MAX_SCRAPES = 16
"""Each scrape has a thread."""


class _ScrapeHandler(WSGIRequestHandler):
    """Answers a scrape, unless it is not sent in time or there are too many at once."""

    timeout = SCRAPE_SECONDS
    running = BoundedSemaphore(MAX_SCRAPES)

    def handle(self) -> None:
        if not self.running.acquire(blocking=False):
            return
        try:
            super().handle()
        except TimeoutError:
            pass
        finally:
            self.running.release()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  as declared
        """Log nothing."""


def serve_metrics(host: str, port: int, read: Callable[[], Iterable[Metric]]) -> Callable[[], None]:
    """Serve `GET /metrics` on a separate port, and return the function that stops it. Raises OSError."""
    server, thread = start_http_server(port, host, make_registry(read))
    server.RequestHandlerClass = _ScrapeHandler

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
