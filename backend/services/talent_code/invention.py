"""Talents for a synthetic city: what its people have learned and achieved, and the classes that follow from it.

What is invented of a person follows from their ID number, so that the sandboxes of the registries confirm just that.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import TypeVar, get_args

from msgspec.structs import replace

from backend.city.person import Person
from backend.city.service import City
from backend.rulebook.language.temporal import midnight
from backend.services.talent_code.evidence import evidence_id
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
from backend.services.talent_code.model.talent import Evidence, Talent, happened_at, reconsider, rested
from backend.services.talent_code.people import terms_of, zone_of
from backend.store.time import to_the_millisecond

T = TypeVar("T")
Merit = Prize | Title | Post

DECLARED = 0.8
"""The share of people who have declared their evidence, if they have any; the others may still do so."""

DECLARED_WITHIN = timedelta(days=300)

AWARDED_AT_AGE: dict[DegreeLevel, int] = {"bachelor": 22, "master": 25, "doctor": 29}

AWARDED_SINCE = datetime(1982, 1, 1, tzinfo=UTC)
"""The first degrees under the regulations of 1981 were awarded in 1982."""

CHINA = timezone(timedelta(hours=8))
"""The time in which registries date what they write down."""


def synthesize(city: City, chance: Random, profiles: Sequence[Person]) -> Iterator[Talent]:
    """Make a Talent for each profile whose evidence gives a class; the same chance and clock make the same talents.

    One in five has not declared anything yet. The others did in the last 300 days, and the class was granted at once.
    """
    now = to_the_millisecond(city.now().replace(second=0, microsecond=0))
    for profile in profiles:
        code_id = base64.urlsafe_b64encode(chance.randbytes(9)).decode()
        at = to_the_millisecond(now - chance.random() * DECLARED_WITHIN)
        declared = chance.random() < DECLARED
        number = city.encryption.decrypt(profile.id_number)
        evidence = [*invented_degrees(number, now), *invented_merits(number, now)]
        if declared and evidence:
            talent = _confirmed(city, profile, code_id, evidence, at)
            if talent.grants:
                yield rested(talent, now, terms_of(city, now)("review_days"))


def _confirmed(city: City, profile: Person, code_id: str, evidence: Sequence[Merit | Degree], at: datetime) -> Talent:
    """Make somebody whose evidence was declared and confirmed at an instant, with the class that it gives.

    They have been told of it.
    """
    zone = zone_of(city)
    confirmed = tuple(
        Evidence(evidence_id(profile.id, said), said, at, at, "confirmed", confirmed_at=at, answered_at=at)
        for said in evidence
        if happened_at(said, zone) <= at
    )
    talent = Talent(id=profile.id, code_id=code_id, born_at=midnight(profile.born_on, zone), evidence=confirmed)
    talent = reconsider(talent, city.rulebook, at, terms_of(city, at), zone)
    return replace(talent, notices=tuple(replace(notice, told=True) for notice in talent.notices))


def invented_degrees(id_number: str, now: datetime) -> tuple[Degree, ...]:
    """Give the degrees that a person has by now.

    Of ten people six have none, three a bachelor's alone, and more than one a master's, perhaps a doctor's as well.
    """
    chance = chance_of("degrees", id_number)
    reached = chance.choices((0, 1, 2, 3), weights=(58, 28, 11, 3))[0]
    degrees = [_degree(chance, birth_year(id_number), level) for level in list(AWARDED_AT_AGE)[:reached]]
    return tuple(degree for degree in degrees if AWARDED_SINCE <= degree.awarded_at <= now)


def _degree(chance: Random, born: int, level: DegreeLevel) -> Degree:
    awarded_at = day_of(born + AWARDED_AT_AGE[level], 6, chance.randint(20, 30))
    school = chance.choices(get_args(School), weights=(80, 17, 3))[0]
    return Degree(level, awarded_at, school, full_time=chance.randrange(10) > 0)


def invented_merits(id_number: str, now: datetime) -> tuple[Merit, ...]:
    """Give the titles, prizes and posts that a person has by now.

    Of ten people nine have none; most of the others have one title, of the commoner kinds.
    """
    chance = chance_of("merits", id_number)
    if chance.randrange(10) > 0:
        return ()
    days = [
        day_of(birth_year(id_number) + chance.randint(28, 55), chance.randint(1, 12), chance.randint(1, 28))
        for _ in range(chance.choice((1, 1, 1, 2)))
    ]
    merits = [_merit(chance, day, now) for day in days]
    return tuple(merit for merit, day in zip(merits, days, strict=True) if day <= now)


def _merit(chance: Random, day: datetime, now: datetime) -> Merit:
    kind = chance.choices(("title", "prize", "post"), weights=(6, 3, 1))[0]
    if kind == "title":
        return Title(_one_of(chance, get_args(TitleName)), day)
    if kind == "prize":
        return Prize(_one_of(chance, get_args(PrizeName)), day)
    until = day + timedelta(days=chance.randint(365, 365 * 15))
    return Post(_one_of(chance, get_args(PostName)), day, until if until <= now else None)


def _one_of(chance: Random, names: tuple[T, ...]) -> T:
    """Draw a name; they stand in order, and the later, the commoner."""
    return chance.choices(names, weights=[place**3 for place in range(1, len(names) + 1)])[0]


def chance_of(what: str, id_number: str) -> Random:
    """Give the chance by which something of a person is invented, the same each time.

    It leaves out the birthday, since people of a synthetic city are as old on whatever day it is invented.
    """
    return Random(f"{what} {id_number[:6]}{id_number[14:17]}")  # noqa: S311  invented facts guard nothing


def birth_year(id_number: str) -> int:
    """Give the year of birth, which stands in the ID number."""
    return int(id_number[6:10])


def day_of(year: int, month: int, day: int) -> datetime:
    """Give the instant at which a day begins in UTC+8."""
    return datetime(year, month, day, tzinfo=CHINA).astimezone(UTC)
