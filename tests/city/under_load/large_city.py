"""A city with many people, each with five dated rows: a session, two scans and what reserves their scan ids."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from backend.app import Clock, open_city
from backend.city.id_number import IdentityDocument
from backend.city.person import new_person
from backend.city.service import City, discover_integrations, discover_services
from backend.services.account.model.session import Session
from backend.services.health_code.model import ScanReservation, VenueVisit, new_record
from backend.settings import Settings
from backend.store import Document
from backend.store.migrations import find_migrations, migrate
from backend.store.time import to_ms
from tests.conftest import ROOT
from tests.keys import new_keys

BATCH = 1_000
SPREAD = timedelta(days=30)
"""Sessions and scans end evenly over this time from the start of the city, as those of a city that is in use."""


def settings_in(folder: Path) -> Settings:
    """Return the settings of the city in a folder."""
    keys = folder / "keys"
    return Settings(
        store=f"sqlite:///{folder}/city.db",
        keys=str(keys) if keys.exists() else new_keys(keys),
        sandbox=str(folder / "sandbox.db"),
        rules=str(ROOT / "rules"),
    )


def open_in(folder: Path, clock: Clock) -> City:
    """Open the city in a folder, with a clock."""
    return open_city(settings_in(folder), discover_services(), discover_integrations("integrations"), clock=clock)


async def fill(city: City, folder: Path, people: int, start: datetime) -> None:
    """Store the people who are missing, a batch after the other; a call that was interrupted may be repeated."""
    progress = folder / "filled"
    filled = msgspec.json.decode(progress.read_bytes(), type=int) if progress.exists() else 0
    if not filled:
        await migrate(city.store, find_migrations(), lambda _migration, _seen: None)
    for begin in range(filled, people, BATCH):
        numbers = range(begin, min(begin + BATCH, people))
        for documents in _documents(city, numbers, people, start):
            await city.store.restore(documents)
        progress.write_bytes(msgspec.json.encode(numbers.stop))


def _documents(city: City, numbers: range, people: int, start: datetime) -> Iterator[list[Document]]:
    """Yield the documents of some people, one kind after the other."""
    record = new_record("", "", datetime(1990, 1, 1, tzinfo=start.tzinfo), city.rulebook, start - timedelta(days=60))
    persons, records = list[Document](), list[Document]()
    sessions, visits, reservations = list[Document](), list[Document](), list[Document]()
    for number in numbers:
        person_id, ends = f"person-{number:08}", start + SPREAD * ((number + 1) / people)
        document = IdentityDocument(f"E{number:08}", "passport")
        persons.append(replace(new_person(city.encryption, document, person_id, start), revision=1))
        records.append(replace(record, id=person_id, code_id=f"{number:012}", revision=1))
        session = Session(
            id=f"session-{number:08}", account_id=person_id, refresh_digest="0" * 64, expires_ms=to_ms(ends)
        )
        sessions.append(replace(session, revision=1))
        for scan in range(2):
            at_ms = to_ms(ends - VenueVisit.retention.length(start) + timedelta(minutes=scan))
            name = f"{number:08}-{scan}"
            visit = VenueVisit(
                id=f"visit-{name}",
                venue=f"venue-{number % 500}",
                scan_id=name,
                person=person_id,
                at_ms=at_ms,
                outcome="valid",
                colour="green",
                gate="gate",
                revision=1,
            )
            visits.append(visit)
            reservations.append(ScanReservation(id=f"scan-{name}", visit=visit.id, at_ms=at_ms, revision=1))
    yield from (persons, records, sessions, visits, reservations)
