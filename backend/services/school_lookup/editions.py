"""Keeping plans: an edition is stored in parts under its digest, and counts when a pointer says so, all or nothing."""

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

from backend.city.service import City
from backend.services.school_lookup.catchments import Catchments
from backend.services.school_lookup.model import Imported, SchoolEdition, SchoolPlan, SchoolZones
from backend.services.school_lookup.plan import Heading, Plan
from backend.store import Document, Duplicate, Store

ZONES_IN_A_PART = 50
"""A document of so many zones stays far below what a store takes, with thousands of corners each."""

REMEMBERED = 100
LOOK_SECONDS = 1.0
"""A plan that was imported by another process counts here after so long."""


def digest_of(plan: Plan) -> str:
    """Give the digest that names a plan as an edition: of all that is kept of it."""
    kept = (plan.heading, plan.boundary, plan.schools, plan.past, plan.zones)
    return hashlib.sha256(msgspec.json.encode(kept)).hexdigest()


def plan_id(heading: Heading) -> str:
    """Give the id under which the edition that counts is pointed to."""
    return f"{heading.code}-{heading.year}"


def parts_of(plan: Plan) -> list[Document]:
    """Give the documents of a plan. The one that stands for the whole, under the plan's edition, is the last.

    They never change once they are stored.
    """
    edition = digest_of(plan)
    zones = [plan.zones[begin : begin + ZONES_IN_A_PART] for begin in range(0, len(plan.zones), ZONES_IN_A_PART)]
    return [
        *(SchoolZones(id=_part_id(edition, number), zones=part) for number, part in enumerate(zones)),
        SchoolEdition(
            id=edition,
            heading=plan.heading,
            boundary=plan.boundary,
            schools=plan.schools,
            past=plan.past,
            zone_parts=len(zones),
        ),
    ]


def _part_id(edition: str, number: int) -> str:
    return f"{edition}-{number:04}"


async def keep_plan(store: Store, plan: Plan, now: datetime) -> str:
    """Store a checked plan in WGS 84, and let it count from now on; give its edition.

    Nothing counts before all of it is stored. Raises Conflict, or Duplicate for the first one, where another plan of
    this district and year came to count at the same time.
    """
    parts = parts_of(plan)
    for document in parts:
        with suppress(Duplicate):  # an import that was interrupted is simply done again
            await store.insert(document)
    edition = parts[-1].id
    pointer = await store.get(SchoolPlan, plan_id(plan.heading))
    if pointer is None:
        await store.insert(SchoolPlan(id=plan_id(plan.heading), imported=(Imported(edition, now),)))
    elif pointer.imported[-1].edition != edition:
        imported = (*pointer.imported[1 - REMEMBERED :], Imported(edition, now))
        await store.replace(replace(pointer, imported=imported))
    return edition


async def read_edition(store: Store, edition: str) -> SchoolEdition:
    """Read what stands for a plan that was stored: all but its zones."""
    head = await store.get(SchoolEdition, edition)
    assert head is not None, "what is pointed to was stored before"
    return head


async def read_plan(store: Store, edition: str) -> Plan:
    """Read a plan that was stored, but for its addresses, which are not kept."""
    head = await read_edition(store, edition)
    ids = [_part_id(edition, number) for number in range(head.zone_parts)]
    parts = await store.get_many(SchoolZones, ids)
    zones = [zone for part in ids for zone in parts[part].zones]
    return Plan(head.heading, head.boundary, head.schools, zones, head.past)


async def edition_before(store: Store, heading: Heading) -> SchoolEdition | None:
    """Give the newest plan of the same district of this year or earlier, against which a new one is held."""
    earlier = [
        pointer
        async for pointer in store.scan(SchoolPlan)
        if pointer.id.startswith(f"{heading.code}-") and pointer.id <= plan_id(heading)
    ]
    if not earlier:
        return None
    newest = max(earlier, key=lambda pointer: pointer.id)
    return await read_edition(store, newest.imported[-1].edition)


# ── what a process holds in memory ──


class _Shelf:
    """The plans that count, made ready; looked at anew once a second."""

    def __init__(self) -> None:
        self.plans: dict[str, Catchments] = {}
        self.looked_at = -LOOK_SECONDS
        self.looking: asyncio.Task[None] | None = None

    async def look(self, store: Store, zone: ZoneInfo) -> None:
        """Read what came to count since."""
        plans = dict[str, Catchments]()
        async for pointer in store.scan(SchoolPlan):
            edition, known = pointer.imported[-1].edition, self.plans.get(pointer.id)
            if known is None or known.edition != edition:
                plan = await read_plan(store, edition)
                known = await asyncio.to_thread(Catchments, edition, plan, zone)
            plans[pointer.id] = known
        self.plans = plans

    def of(self, year: int | None) -> list[Catchments]:
        """Give the plans of a year, or of the newest one."""
        wanted = max((one.heading.year for one in self.plans.values()), default=0) if year is None else year
        return [one for one in self.plans.values() if one.heading.year == wanted]


_log = logging.getLogger("chengma.schools")
_shelves: WeakKeyDictionary[Store, _Shelf] = WeakKeyDictionary()


def _tell_failure(looking: asyncio.Task[None]) -> None:
    if not looking.cancelled() and looking.exception() is not None:
        _log.warning("school plans could not be looked at, those known go on: %s", looking.exception())


async def plans_of(city: City, year: int | None) -> Sequence[Catchments]:
    """Give the plans of a year, or of the newest year that has any, by district; none where there are none.

    What is known goes on while the store is away. Raises StoreUnavailable where nothing is known yet.
    """
    shelf = _shelves.get(city.store)
    if shelf is None:
        shelf = _shelves[city.store] = _Shelf()
    if time.monotonic() - shelf.looked_at >= LOOK_SECONDS and (shelf.looking is None or shelf.looking.done()):
        shelf.looked_at = time.monotonic()
        shelf.looking = asyncio.create_task(shelf.look(city.store, ZoneInfo(city.settings.time_zone)))
        shelf.looking.add_done_callback(_tell_failure)
    found = shelf.of(year)
    if found or shelf.looking is None:
        return found
    await shelf.looking
    return shelf.of(year)
