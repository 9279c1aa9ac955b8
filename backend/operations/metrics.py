"""What an operator's Prometheus reads: how many, how fast, what was decided, and what waits."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Lock

from msgspec import Struct
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.city.service import City

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds. The buckets of all latencies."""


class _RouteCounts(Struct):
    """How the requests of one route went."""

    seconds: float = 0.0
    buckets: list[int] = []


AnsweredRequest = tuple[float, str, str | None, int, float, str]
"""A request: when it was answered, its method, route and status, how many seconds it took, and its id."""


class RequestCounts:
    """Counts the requests that a process has answered, by method, route and status.

    They wait in `answered` and are counted many at once, which costs each request less.
    """

    def __init__(self) -> None:
        self.answered: deque[AnsweredRequest] = deque()
        self.routes: dict[tuple[str, str, int], _RouteCounts] = {}
        self._counting = Lock()

    def count(self) -> None:
        """Count those that wait; the server's thread does, and Prometheus's."""
        with self._counting:
            while self.answered:
                _, method, route, status, seconds, _ = self.answered.popleft()
                key = (method, route or "none", status)
                counts = self.routes.get(key)
                if counts is None:
                    counts = self.routes[key] = _RouteCounts(buckets=[0] * (len(BOUNDS) + 1))
                counts.seconds += seconds
                counts.buckets[bisect_left(BOUNDS, seconds)] += 1

    def read(self) -> Iterator[Metric]:
        """Give them to Prometheus."""
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
    """Counts what became of the jobs that a process has tried."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}

    def note(self, task: str, outcome: str) -> None:
        """Count a try: `done` or `retried`."""
        key = (task, outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def read(self) -> Iterator[Metric]:
        """Give them to Prometheus."""
        family = CounterMetricFamily("chengma_jobs", "Background jobs tried", labels=("task", "outcome"))
        for labels, count in list(self.outcomes.items()):
            family.add_metric(labels, count)
        yield family


def city_metrics(city: City) -> Iterator[Metric]:
    """Give what rules decided, and by which rulebook."""
    decided = CounterMetricFamily("chengma_verdicts", "Verdicts given", labels=("module", "rule", "result"))
    for labels, count in list(city.decision_counts.items()):
        decided.add_metric(labels, count)
    yield decided
    rulebook = GaugeMetricFamily("chengma_rulebook", "The rulebook in force; always 1", labels=("digest",))
    rulebook.add_metric((city.rulebook.digest,), 1)
    yield rulebook


def gauge(name: str, said: str, value: float) -> Metric:
    """Give one figure of now."""
    return GaugeMetricFamily(name, said, value)


class _Reading(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        return ()


def make_registry(read: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    """Make a registry that reads the figures anew whenever Prometheus asks."""
    registry = CollectorRegistry()
    registry.register(_Reading(read))
    return registry


def serve_metrics(host: str, port: int, read: Callable[[], Iterable[Metric]]) -> Callable[[], None]:
    """Answer `GET /metrics` on a port of its own, apart from what citizens reach; give what ends it. Raises OSError."""
    server, thread = start_http_server(port, host, make_registry(read))

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
