"""How much each source has reported in a day of the city without a second person."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from backend.city.service import City
from backend.services.health_code.model import HealthEventReceipt
from backend.services.health_code.proposals import needs_two_people
from backend.services.health_code.saga import event_key
from backend.services.health_code.sources import ReportCount, ReportingSource, count_new_events
from backend.store.grouped_updates import update_grouped
from backend.store.time import to_ms
from backend.store.update import insert_or_get

COUNT_LIFETIME = timedelta(days=2)


async def count_events(
    city: City, sources: Mapping[str, ReportingSource], events: Sequence[Any]
) -> dict[tuple[str, str], bool]:
    """Count the events that are new and need no second person by their kind; return which are within today's bounds.

    Each event has a `source`, its `id` there, and its content, `event`.
    """
    keys = {event_key(city, event.source, event.id): event for event in events}
    known = await city.store.get_many(HealthEventReceipt, list(keys))
    within = {(event.source, event.id): True for event in events}
    new: defaultdict[str, list[Any]] = defaultdict(list)
    for key, event in keys.items():
        kind = sources[event.source].kind
        if key not in known and kind is not None and not needs_two_people(kind, event.event):
            new[event.source].append(event)
    for name, reported in new.items():
        fits = await _count(city, sources[name], [event.event for event in reported])
        within |= {(event.source, event.id): fit for event, fit in zip(reported, fits, strict=True)}
    return within


async def _count(city: City, source: ReportingSource, events: Sequence[Any]) -> list[bool]:
    """Count new events of a source. Requests that report for it at the same time are counted by one write."""
    within: list[bool] = []

    def count(before: ReportCount) -> ReportCount:
        nonlocal within
        after, within = count_new_events(before, source, events)
        return after

    new = ReportCount(id=f"{source.id} {city.today()}", expires_ms=to_ms(city.now() + COUNT_LIFETIME))

    async def load() -> ReportCount:
        return await city.store.get(ReportCount, new.id) or await insert_or_get(city.store, new)

    await update_grouped(city.store, ReportCount, new.id, load=load, change=count, before_write=_as_counted)
    return within


async def _as_counted(count: ReportCount) -> ReportCount:
    return count
