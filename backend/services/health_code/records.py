"""Read and update health records: one document, one conditional write, retried after a conflict."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from backend.city.person import document_of, known_person
from backend.city.service import City
from backend.codes.signed_code import make_code_id
from backend.rulebook.language.temporal import midnight
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import HealthRecord, new_record
from backend.store.update import insert_or_get, update_document


async def get_or_create_record(city: City, person: str, now: datetime) -> HealthRecord:
    """Return a person's record, after creating it if there is none. `person` is the id of a Person."""
    record = await city.store.get(HealthRecord, person)
    if record is not None:
        return record
    citizen = await known_person(city.store, person)
    # a birth date that only the person has told would exempt them from what a child is exempt from
    born_on, zone = document_of(city.encryption, citizen).born_on, ZoneInfo(city.settings.time_zone)
    born_at = None if born_on is None else midnight(born_on, zone)
    return await insert_or_get(city.store, new_record(person, make_code_id(), born_at, city.rulebook, now))


async def update_record(
    city: City, person: str, now: datetime, change: Callable[[HealthRecord], HealthRecord]
) -> HealthRecord:
    """Update a person's record and return it; `change` returns the same object if there is nothing to change.

    Raises Conflict if concurrent changes win every time.
    """
    record = await update_document(city.store, lambda: get_or_create_record(city, person, now), change)
    assert record is not None, "it was created"
    return record


async def present_facts(city: City, person: str) -> HealthFacts | None:
    """Return the facts that decide a person's colour now, or None if they have no record."""
    record = await city.store.get(HealthRecord, person)
    return record and record.facts
