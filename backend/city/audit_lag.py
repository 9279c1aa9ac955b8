"""How far the audit log is behind: the age of the oldest act that is not chained yet, which monitoring watches."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from backend.city.audit_log import AuditEntry, audited_kinds
from backend.city.service import City
from backend.store import Order, StoreUnavailable
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
        measuring = asyncio.create_task(self._measure(current))
        try:
            yield
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)

    async def _measure(self, current: Callable[[], City]) -> None:
        while True:
            with suppress(StoreUnavailable):
                self.seconds = (await lag_of(current())).total_seconds()
            await asyncio.sleep(MEASURE_SECONDS)


async def lag_of(city: City) -> timedelta:
    """Return the age of the oldest act that a document holds, or of the oldest entry that is not chained."""
    waits: list[int] = []
    page = await city.store.find(AuditEntry, {}, order=Order("unchained_ms"), limit=1)
    waits.extend(entry.unchained_ms for entry in page.documents if entry.unchained_ms is not None)
    for kind in audited_kinds(city):
        held = await city.store.find(kind, {}, order=Order("acts_due_ms"), limit=1)
        waits.extend(one.acts_due_ms for one in held.documents if one.acts_due_ms is not None)
    return timedelta(milliseconds=max(0, to_ms(city.now()) - min(waits, default=to_ms(city.now()))))
