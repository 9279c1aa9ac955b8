"""Health records of the synthetic city: most people are green, some yellow, a few red, each by a rule."""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from backend.city.person import Person
from backend.city.service import City
from backend.rulebook.language.temporal import midnight
from backend.services.health_code.model import HealthRecord, apply_reports, new_record, update_history
from backend.services.health_code.reports import (
    CaseReported,
    ContactReported,
    DoseGiven,
    HealthDeclared,
    IsolationOrdered,
    Report,
    SampleTested,
)
from backend.store.time import to_the_millisecond

RED, YELLOW = 0.03, 0.05
"""The shares of people who are red or yellow."""


def synthesize(city: City, chance: Random, people: Sequence[Person]) -> Iterator[HealthRecord]:
    """Yield a record for each person; the same seed and clock give the same records."""
    now = to_the_millisecond(city.now().replace(second=0, microsecond=0))
    zone = ZoneInfo(city.settings.time_zone)
    for person in people:
        code_id = base64.urlsafe_b64encode(chance.randbytes(9)).decode()
        record = new_record(person.id, code_id, midnight(person.born_on, zone), city.rulebook, now - timedelta(400))
        share = chance.random()
        reports = _ordinary(chance, now)
        if share < RED:
            reports.append(_red(chance, now))
        elif share < RED + YELLOW:
            reports.append(_yellow(chance, now))
        reported = now - timedelta(hours=chance.uniform(0, 1))
        yield update_history(
            apply_reports(record, reports, city.rulebook, to_the_millisecond(reported)), city.rulebook, now
        )


def _ordinary(chance: Random, now: datetime) -> list[Report]:
    """Return reports that many people have: doses of vaccine, and a negative test."""
    doses = chance.choice((0, 1, 2, 2, 3))
    reports = [_reported(chance, DoseGiven(_before(chance, now, 100 + 90 * dose))) for dose in range(doses)]
    if chance.choice((True, False)):
        sampled = _before(chance, now, 20, 10)
        reports.append(_reported(chance, SampleTested("pcr", "negative", sampled, sampled + timedelta(hours=8))))
    return reports


def _red(chance: Random, now: datetime) -> Report:
    if chance.choice((True, True, False)):
        return _reported(chance, ContactReported("close", _before(chance, now, 4)))
    return _reported(chance, CaseReported("confirmed", _before(chance, now, 10)))


def _yellow(chance: Random, now: datetime) -> Report:
    if chance.choice((True, True, False)):
        return Report(HealthDeclared(_before(chance, now, 4), ("fever",)))
    return _reported(chance, IsolationOrdered("observation", _before(chance, now, 5)))


def _before(chance: Random, now: datetime, days: float, at_least: float = 0.1) -> datetime:
    """Return an instant within these days before now, on a full minute."""
    return (now - timedelta(days=chance.uniform(at_least, days))).replace(second=0, microsecond=0)


def _reported(
    chance: Random, event: CaseReported | ContactReported | DoseGiven | IsolationOrdered | SampleTested
) -> Report:
    return Report(event, key=chance.randbytes(16).hex())
