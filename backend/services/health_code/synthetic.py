"""Health records of the synthetic city: most people are green, some yellow, a few red."""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from backend.city.person import Person, birth_date
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


def synthesize(city: City, rng: Random, people: Sequence[Person]) -> Iterator[HealthRecord]:
    """Yield a record for each person; the same seed and clock yield the same records."""
    now = to_the_millisecond(city.now().replace(second=0, microsecond=0))
    zone = ZoneInfo(city.settings.time_zone)
    for person in people:
        code_id = base64.urlsafe_b64encode(rng.randbytes(9)).decode()
        record = new_record(person.id, code_id, midnight(birth_date(person), zone), city.rulebook, now - timedelta(400))
        draw = rng.random()
        reports = _ordinary(rng, now)
        if draw < RED:
            reports.append(_red(rng, now))
        elif draw < RED + YELLOW:
            reports.append(_yellow(rng, now))
        reported = now - timedelta(hours=rng.uniform(0, 1))
        yield update_history(
            apply_reports(record, reports, city.rulebook, to_the_millisecond(reported)), city.rulebook, now
        )


def _ordinary(rng: Random, now: datetime) -> list[Report]:
    """Return reports that many people have: doses of vaccine, and a negative test."""
    doses = rng.choice((0, 1, 2, 2, 3))
    reports = [_reported(rng, DoseGiven(_random_instant(rng, now, 100 + 90 * dose))) for dose in range(doses)]
    if rng.choice((True, False)):
        sampled = _random_instant(rng, now, 20, 10)
        reports.append(_reported(rng, SampleTested("pcr", "negative", sampled, sampled + timedelta(hours=8))))
    return reports


def _red(rng: Random, now: datetime) -> Report:
    if rng.choice((True, True, False)):
        return _reported(rng, ContactReported("close", _random_instant(rng, now, 4)))
    return _reported(rng, CaseReported("confirmed", _random_instant(rng, now, 10)))


def _yellow(rng: Random, now: datetime) -> Report:
    if rng.choice((True, True, False)):
        return Report(HealthDeclared(_random_instant(rng, now, 4), ("fever",)))
    return _reported(rng, IsolationOrdered("observation", _random_instant(rng, now, 5)))


def _random_instant(rng: Random, now: datetime, days: float, at_least: float = 0.1) -> datetime:
    """Return a random instant in the last `days` days, on a full minute."""
    return (now - timedelta(days=rng.uniform(at_least, days))).replace(second=0, microsecond=0)


def _reported(
    rng: Random, event: CaseReported | ContactReported | DoseGiven | IsolationOrdered | SampleTested
) -> Report:
    return Report(event, key=rng.randbytes(16).hex())
