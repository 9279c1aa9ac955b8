"""Reading and changing health records: one document, one write, tried again when somebody else was faster."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from backend.city.person import Profile
from backend.city.service import City
from backend.codes.signed_code import make_code_id
from backend.rulebook.language.temporal import midnight
from backend.services.health_code.model import HealthRecord, begin_record
from backend.store import Conflict, Duplicate
from backend.store.update import MAX_ATTEMPTS, update_document


async def open_record(city: City, person: str, now: datetime) -> HealthRecord:
    """Give a person's record; begin it if nothing is known of their health yet. `person` is the id of a Profile."""
    for _ in range(MAX_ATTEMPTS):
        record = await city.store.get(HealthRecord, person)
        if record is not None:
            return record
        profile = await city.store.get(Profile, person)
        assert profile is not None, "a citizen's Profile is made before anything else"
        born_at = midnight(profile.born_on, ZoneInfo(city.settings.time_zone))
        try:
            return await city.store.insert(begin_record(person, make_code_id(), born_at, city.rulebook, now))
        except Duplicate:
            continue  # another request began it, or, once in an age, two code ids were the same
    raise Conflict(HealthRecord.collection, person, 0)


async def change_record(
    city: City, person: str, now: datetime, change: Callable[[HealthRecord], HealthRecord]
) -> HealthRecord:
    """Change a person's record; `change` gives back the same object where there is nothing to change.

    Raises Conflict if others kept changing it.
    """
    record = await update_document(city.store, lambda: open_record(city, person, now), change)
    assert record is not None, "it was opened"
    return record
