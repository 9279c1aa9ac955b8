"""Health records for a synthetic city: most people green, some yellow, a few red, each for a reason of the rules."""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from backend.city.person import Profile
from backend.city.service import City
from backend.rulebook.language.temporal import midnight
from backend.services.health_code.model import HealthRecord, begin_record, catch_up, take_reports
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
"""The shares of people with a reason to be red or yellow."""


def synthesize(city: City, chance: Random, profiles: Sequence[Profile]) -> Iterator[HealthRecord]:
    """Make a record for each profile; the same chance and clock make the same records."""
    now = to_the_millisecond(city.now().replace(second=0, microsecond=0))
    zone = ZoneInfo(city.settings.time_zone)
    for profile in profiles:
        code_id = base64.urlsafe_b64encode(chance.randbytes(9)).decode()
        began = begin_record(profile.id, code_id, midnight(profile.born_on, zone), city.rulebook, now - timedelta(400))
        share = chance.random()
        reports = _ordinary(chance, now)
        if share < RED:
            reports.append(_red(chance, now))
        elif share < RED + YELLOW:
            reports.append(_yellow(chance, now))
        reported = now - timedelta(hours=chance.uniform(0, 1))
        yield catch_up(take_reports(began, reports, city.rulebook, to_the_millisecond(reported)), city.rulebook, now)


def _ordinary(chance: Random, now: datetime) -> list[Report]:
    """Make what was reported of many: doses of vaccine, and a negative test."""
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
    """Give an instant within these days before now, on a full minute."""
    return (now - timedelta(days=chance.uniform(at_least, days))).replace(second=0, microsecond=0)


def _reported(
    chance: Random, said: CaseReported | ContactReported | DoseGiven | IsolationOrdered | SampleTested
) -> Report:
    return Report(said, key=chance.randbytes(16).hex())
