"""Store plans and hold those in force in memory.

An edition is stored in parts under its digest. It takes effect, as a whole, when the pointer of its district and year
names it.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from backend.city.audit_log import city_act, with_act
from backend.city.service import City
from backend.services.school_lookup.district import District
from backend.services.school_lookup.model import Imported, SchoolCatchments, SchoolEdition, SchoolPlan
from backend.services.school_lookup.plan import Heading, Plan
from backend.store import Document, Duplicate, Store

CATCHMENTS_PER_PART = 50
"""A document with this many catchments is far below the size limit of a store, at thousands of corners each."""

MAX_HISTORY = 100
REFRESH_SECONDS = 1.0
"""The longest time after which a plan that another process imported takes effect here."""


def digest_of(plan: Plan) -> str:
    """Return the digest that identifies a plan as an edition, over everything that is stored of it."""
    stored = (plan.heading, plan.boundary, plan.schools, plan.past, plan.catchments)
    return hashlib.sha256(msgspec.json.encode(stored)).hexdigest()


def plan_id(heading: Heading) -> str:
    """Return the id of the document that names the edition in force."""
    return f"{heading.code}-{heading.year}"


def documents_of(plan: Plan) -> list[Document]:
    """Return the documents of a plan, which never change once stored. The last one has the id of the edition."""
    edition, size = digest_of(plan), CATCHMENTS_PER_PART
    parts = [plan.catchments[start : start + size] for start in range(0, len(plan.catchments), size)]
    return [
        *(SchoolCatchments(id=_part_id(edition, number), catchments=part) for number, part in enumerate(parts)),
        SchoolEdition(
            id=edition,
            heading=plan.heading,
            boundary=plan.boundary,
            schools=plan.schools,
            past=plan.past,
            catchment_parts=len(parts),
        ),
    ]


def _part_id(edition: str, number: int) -> str:
    return f"{edition}-{number:04}"


async def store_plan(store: Store, plan: Plan, now: datetime) -> str:
    """Store a checked plan in WGS 84, put it in force, and return its edition.

    Nothing takes effect before all of it is stored. Raises Conflict, or Duplicate for the first plan, if another plan
    of this district and year took effect at the same time.
    """
    documents = documents_of(plan)
    for document in documents:
        with suppress(Duplicate):  # repeating an interrupted import completes it
            await store.insert(document)
    edition = documents[-1].id
    pointer = await store.get(SchoolPlan, plan_id(plan.heading))
    act = city_act("school_lookup.plan_published", f"{plan_id(plan.heading)} {edition}", now)
    if pointer is None:
        await store.insert(with_act(SchoolPlan(id=plan_id(plan.heading), imported=(Imported(edition, now),)), act))
    elif pointer.imported[-1].edition != edition:
        imported = (*pointer.imported[1 - MAX_HISTORY :], Imported(edition, now))
        await store.replace(with_act(replace(pointer, imported=imported), act))
    return edition


async def read_edition(store: Store, edition: str) -> SchoolEdition:
    """Return a stored plan without its catchments."""
    found = await store.get(SchoolEdition, edition)
    assert found is not None, "an edition is stored before a pointer names it"
    return found


async def read_plan(store: Store, edition: str) -> Plan:
    """Return a stored plan; its addresses are not stored."""
    found = await read_edition(store, edition)
    ids = [_part_id(edition, number) for number in range(found.catchment_parts)]
    parts = await store.get_many(SchoolCatchments, ids)
    catchments = [catchment for part in ids for catchment in parts[part].catchments]
    return Plan(found.heading, found.boundary, found.schools, catchments, found.past)


async def previous_edition(store: Store, heading: Heading) -> SchoolEdition | None:
    """Return the district's newest plan up to this year, for comparison with a new one."""
    earlier = [
        pointer
        async for pointer in store.scan(SchoolPlan)
        if pointer.id.startswith(f"{heading.code}-") and pointer.id <= plan_id(heading)
    ]
    if not earlier:
        return None
    newest = max(earlier, key=lambda pointer: pointer.id)
    return await read_edition(store, newest.imported[-1].edition)


# ── in memory ──


class _PlanCache:
    """The plans in force, prepared for lookups; refreshed once a second."""

    def __init__(self) -> None:
        self.districts: dict[str, District] = {}
        self.refreshed_at = -REFRESH_SECONDS
        self.refreshing: asyncio.Task[None] | None = None

    async def refresh(self, store: Store, time_zone: ZoneInfo) -> None:
        """Load the plans that took effect since the last refresh."""
        districts = dict[str, District]()
        async for pointer in store.scan(SchoolPlan):
            edition, district = pointer.imported[-1].edition, self.districts.get(pointer.id)
            if district is None or district.edition != edition:
                plan = await read_plan(store, edition)
                district = await asyncio.to_thread(District, edition, plan, time_zone)
            districts[pointer.id] = district
        self.districts = districts

    def of_year(self, year: int | None) -> list[District]:
        """Return the plans of a year, or of the newest one."""
        if year is None:
            year = max((one.heading.year for one in self.districts.values()), default=0)
        return [one for one in self.districts.values() if one.heading.year == year]


_log = logging.getLogger("chengma.schools")
_caches: WeakKeyDictionary[Store, _PlanCache] = WeakKeyDictionary()


def _log_failure(refreshing: asyncio.Task[None]) -> None:
    if not refreshing.cancelled() and refreshing.exception() is not None:
        _log.warning("school plans could not be refreshed, using the cached ones: %s", refreshing.exception())


async def districts_of(city: City, year: int | None) -> Sequence[District]:
    """Return the plans of a year, or of the newest year that has any, by district; empty if there are none.

    Cached plans stay in use while the store is unavailable. Raises StoreUnavailable if nothing is cached yet.
    """
    cache = _caches.get(city.store)
    if cache is None:
        cache = _caches[city.store] = _PlanCache()
    if time.monotonic() - cache.refreshed_at >= REFRESH_SECONDS and (
        cache.refreshing is None or cache.refreshing.done()
    ):
        cache.refreshed_at = time.monotonic()
        cache.refreshing = asyncio.create_task(cache.refresh(city.store, ZoneInfo(city.settings.time_zone)))
        cache.refreshing.add_done_callback(_log_failure)
    found = cache.of_year(year)
    if found or cache.refreshing is None:
        return found
    await cache.refreshing
    return cache.of_year(year)
