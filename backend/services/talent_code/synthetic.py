"""Talents of a synthetic city: the qualifications of its people, and the classes that follow from them.

A person's qualifications are derived from their ID number, so the sandboxes of the registries confirm exactly these.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import TypeVar, get_args

from msgspec.structs import replace

from backend.city.person import Person, birth_date
from backend.city.service import City
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.facts import (
    Degree,
    DegreeLevel,
    Post,
    PostName,
    Prize,
    PrizeName,
    School,
    Title,
    TitleName,
)
from backend.services.talent_code.model.evidence import Evidence, evidence_id, happened_at
from backend.services.talent_code.model.grants import reassess, reschedule
from backend.services.talent_code.model.talent import Talent, TalentTerms
from backend.store.time import to_the_millisecond

T = TypeVar("T")
_BIRTH_YEAR = re.compile(r"\d{6}(\d{4})\d{7}", re.ASCII)
Merit = Prize | Title | Post

DECLARED_SHARE = 0.8
"""The share of people with qualifications who have already declared them."""

DECLARED_WITHIN = timedelta(days=300)

AWARDED_AT_AGE: dict[DegreeLevel, int] = {"bachelor": 22, "master": 25, "doctor": 29}

AWARDED_SINCE = datetime(1982, 1, 1, tzinfo=UTC)
"""The first degrees under the regulations of 1981 were awarded in 1982."""

CHINA_TIME = timezone(timedelta(hours=8))
"""The time zone of the registries' records."""


def synthesize(city: City, rng: Random, profiles: Sequence[Person]) -> Iterator[Talent]:
    """Yield a Talent for each profile whose evidence gives a class; the same seed and clock give the same talents.

    One in five has not declared anything yet. The others did so in the last 300 days, and were granted the class at
    once.
    """
    now, zone = to_the_millisecond(city.now().replace(second=0, microsecond=0)), city.rulebook.time_zone
    for profile in profiles:
        code_id = base64.urlsafe_b64encode(rng.randbytes(9)).decode()
        at = to_the_millisecond(now - rng.random() * DECLARED_WITHIN)
        if rng.random() >= DECLARED_SHARE:
            continue
        number = city.encryption.read(profile, "id_number")
        possible = (*synthetic_degrees(number, now), *synthetic_merits(number, now))
        declared = [(evidence_id(profile.id, one), one) for one in possible if happened_at(one, zone) <= at]
        if declared:
            confirmed = tuple(
                Evidence(key, one, at, at).after("confirmed", at, registry_days=0) for key, one in declared
            )
            talent = Talent(
                id=profile.id, code_id=code_id, born_at=midnight(birth_date(profile), zone), evidence=confirmed
            )
            talent = reassess(talent, at, TalentTerms(city.rulebook, at))
            sent = tuple(replace(notification, sent=True) for notification in talent.notifications)
            if talent.grants:
                yield reschedule(replace(talent, notifications=sent), now, TalentTerms(city.rulebook, now))


def synthetic_degrees(id_number: str, now: datetime) -> tuple[Degree, ...]:
    """Return a person's degrees.

    Of ten people six have none and three only a bachelor's degree; the others have a master's, or also a doctorate.
    """
    rng = random_for("degrees", id_number)
    reached = rng.choices((0, 1, 2, 3), weights=(58, 28, 11, 3))[0]
    degrees = [_degree(rng, birth_year(id_number), level) for level in list(AWARDED_AT_AGE)[:reached]]
    return tuple(degree for degree in degrees if AWARDED_SINCE <= degree.awarded_at <= now)


def _degree(rng: Random, born: int, level: DegreeLevel) -> Degree:
    awarded_at = start_of_day(born + AWARDED_AT_AGE[level], 6, rng.randint(20, 30))
    school = rng.choices(get_args(School), weights=(80, 17, 3))[0]
    return Degree(level, awarded_at, school, full_time=rng.randrange(10) > 0)


def synthetic_merits(id_number: str, now: datetime) -> tuple[Merit, ...]:
    """Return a person's titles, prizes and posts.

    Nine of ten people have none; most of the others have one title, usually a common one.
    """
    rng = random_for("merits", id_number)
    if rng.randrange(10) > 0:
        return ()
    days = [
        start_of_day(birth_year(id_number) + rng.randint(28, 55), rng.randint(1, 12), rng.randint(1, 28))
        for _ in range(rng.choice((1, 1, 1, 2)))
    ]
    merits = [_merit(rng, day, now) for day in days]
    return tuple(merit for merit, day in zip(merits, days, strict=True) if day <= now)


def _merit(rng: Random, day: datetime, now: datetime) -> Merit:
    kind = rng.choices(("title", "prize", "post"), weights=(6, 3, 1))[0]
    if kind == "title":
        return Title(_one_of(rng, get_args(TitleName)), day)
    if kind == "prize":
        return Prize(_one_of(rng, get_args(PrizeName)), day)
    until = day + timedelta(days=rng.randint(365, 365 * 15))
    return Post(_one_of(rng, get_args(PostName)), day, until if until <= now else None)


def _one_of(rng: Random, names: tuple[T, ...]) -> T:
    """Draw a name; the names are ordered from rare to common."""
    return rng.choices(names, weights=[place**3 for place in range(1, len(names) + 1)])[0]


def random_for(attribute: str, id_number: str) -> Random:
    """Return the random generator for one attribute of a person; it is the same each time.

    It ignores the birthday, because the ages in a synthetic city are the same on whatever day it is created.
    """
    person = f"{id_number[:6]}{id_number[14:17]}" if _BIRTH_YEAR.match(id_number) else id_number
    return Random(f"{attribute} {person}")  # noqa: S311  synthetic facts protect nothing


def birth_year(id_number: str) -> int:
    """Return the year of birth in an ID number, or an invented one if another document tells none."""
    found = _BIRTH_YEAR.match(id_number)
    return int(found[1]) if found else Random(f"born {id_number}").randint(1950, 2000)  # noqa: S311  likewise


def start_of_day(year: int, month: int, day: int) -> datetime:
    """Return the instant at which a day starts in UTC+8."""
    return datetime(year, month, day, tzinfo=CHINA_TIME).astimezone(UTC)
