"""How far the audit log is behind: the age of the oldest act that is not chained yet, which monitoring watches."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from backend.city.audit_log import AuditEntry, audited_kinds
from backend.city.service import City
from backend.jobs.beside import beside, repeat
from backend.store import Order
from backend.store.time import to_ms

MEASURE_SECONDS = 15.0


class AuditLag:
    """The lag in seconds, as last measured. It stays high while no process sweeps, which an alert should tell."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @asynccontextmanager
    async def measured(self, current: Callable[[], City]) -> AsyncGenerator[None, None]:
        """Measure every few seconds until the end of the block, if there is a port for metrics."""
        if not current().settings.metrics_port:
            yield
            return

        async def measure() -> None:
            self.seconds = (await lag_of(current())).total_seconds()

        async with beside(repeat(measure, MEASURE_SECONDS)):
            yield


async def lag_of(city: City) -> timedelta:
    """Return the age of the oldest act that a document holds, or of the oldest entry that is not chained."""
    waits: list[int] = []
    page = await city.store.find(AuditEntry, {}, order=Order("unchained_ms"), limit=1)
    waits.extend(entry.unchained_ms for entry in page.documents if entry.unchained_ms is not None)
    for kind in audited_kinds(city):
        held = await city.store.find(kind, {}, order=Order("acts_due_ms"), limit=1)
        waits.extend(one.acts_due_ms for one in held.documents if one.acts_due_ms is not None)
    return timedelta(milliseconds=max(0, to_ms(city.now()) - min(waits, default=to_ms(city.now()))))
