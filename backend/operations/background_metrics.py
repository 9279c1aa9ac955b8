"""How far background work is behind: the lag of each sweep, failed jobs, and whether the store can write."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from backend.city.service import City
from backend.jobs.beside import beside, repeat
from backend.jobs.tasks import DeadLetter, Task
from backend.operations.metrics import gauge
from backend.operations.write_probe import check_writable
from backend.store import StoreNotWritable

MEASURE_SECONDS = 15.0


class BackgroundMetrics:
    """Metrics as last measured. A lag stays high while no process sweeps, or while a document cannot be processed."""

    def __init__(self, tasks: Iterable[Task[Any]]) -> None:
        self._sweeps = [task for task in tasks if task.due]
        self._lags: dict[str, float] = {}
        self._dead_letters = 0
        self._writable = True

    @asynccontextmanager
    async def measured(self, current: Callable[[], City]) -> AsyncGenerator[None, None]:
        """Measure every few seconds until the end of the block, if there is a port for metrics."""
        if not current().settings.metrics_port:
            yield
            return
        async with beside(repeat(lambda: self.measure(current()), MEASURE_SECONDS)):
            yield

    async def measure(self, city: City) -> None:
        """Measure once. Raises StoreUnavailable."""
        try:
            await check_writable(city.store, city.now())
        except StoreNotWritable:
            self._writable = False
        else:
            self._writable = True
        for sweep in self._sweeps:
            lags = [await due.lag(city) for due in sweep.due]
            self._lags[sweep.name] = max(lags).total_seconds()
        self._dead_letters = await city.store.count(DeadLetter, {"dead": True})

    def read(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        lags = GaugeMetricFamily(
            "chengma_sweep_lag_seconds", "How long the longest overdue document of a sweep is due", labels=("sweep",)
        )
        for sweep, seconds in list(self._lags.items()):
            lags.add_metric((sweep,), seconds)
        yield lags
        yield gauge("chengma_dead_letters", "Background jobs that failed permanently", self._dead_letters)
        yield gauge("chengma_store_writable", "1 while the store can write", int(self._writable))
