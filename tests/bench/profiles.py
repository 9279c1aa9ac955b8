"""Synthetic facts of people, with reasons of nearly every kind."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar, get_args

from msgspec import Struct

from backend.rulebook.language.types import fields_of
from backend.services.health_code.facts import (
    Case,
    Contact,
    Declaration,
    Dose,
    Entry,
    FalseStatement,
    HealthFacts,
    Isolation,
    LabTest,
    MissedMassTest,
    Stay,
    Symptom,
    SymptomKind,
)

T = TypeVar("T")

LONGEST_DAYS = 16
_MINUTES = LONGEST_DAYS * 24 * 60


def rich_facts(chance: Random, now: datetime, number: int) -> Iterator[HealthFacts]:
    """Yield synthetic facts of `number` people, with none to three facts of each kind, from the last sixteen days.

    A third of the instants are whole days before now, when verdicts change.
    """
    for _ in range(number):
        yield HealthFacts(
            born_at=chance.choice((None, now - timedelta(days=chance.choice((400, 1_090, 1_100, 15_000))))),
            cases=_some(chance, now, lambda at: Case(_one_of(chance, Case, "status"), at, _later(chance, at, now))),
            contacts=_some(chance, now, lambda at: Contact(_one_of(chance, Contact, "level"), at)),
            tests=_some(chance, now, lambda at: _test(chance, at)),
            symptoms=_some(chance, now, lambda at: Symptom(chance.choice(get_args(SymptomKind)), at)),
            declarations=_some(chance, now, lambda at: Declaration(at, chance.random() < 0.5)),
            stays=_some(chance, now, lambda at: Stay(_one_of(chance, Stay, "risk"), at, _later(chance, at, now))),
            entries=_some(chance, now, lambda at: Entry("IT", at)),
            isolations=_some(chance, now, lambda at: _isolation(chance, at, now)),
            doses=_some(chance, now, Dose),
            missed_mass_tests=_some(chance, now, MissedMassTest),
            false_statements=_some(chance, now, FalseStatement),
        )


def _some(chance: Random, now: datetime, make: Callable[[datetime], T]) -> tuple[T, ...]:
    """Return up to three facts, most often none, in order of time."""
    number = chance.choice((0, 0, 0, 0, 1, 1, 2, 3))
    return tuple(make(at) for at in sorted(_before(chance, now) for _ in range(number)))


def _before(chance: Random, now: datetime) -> datetime:
    if chance.random() < 1 / 3:
        return now - timedelta(days=chance.randrange(LONGEST_DAYS), seconds=chance.choice((0, 0, 1)))
    return now - timedelta(minutes=chance.randrange(_MINUTES))


def _later(chance: Random, at: datetime, now: datetime) -> datetime | None:
    return at + chance.random() * (now - at) if chance.random() < 0.7 else None


def _one_of(chance: Random, kind: type[Struct], field: str) -> Any:  # noqa: ANN401  one of the field's words
    words = fields_of(kind)[field].type.words
    assert words is not None
    return chance.choice(words)


def _test(chance: Random, at: datetime) -> LabTest:
    result = chance.choice(("negative", "negative", "negative", "positive", "awaiting"))
    return LabTest(chance.choice(("pcr", "pcr", "antigen")), result, at, at + timedelta(hours=8))


def _isolation(chance: Random, at: datetime, now: datetime) -> Isolation:
    first = at.astimezone(UTC).replace(hour=16, minute=0, second=0, microsecond=0)
    days = [first + timedelta(days=number) for number in range((now - first).days + 1)]
    attentive = chance.choice((0.5, 1, 1))
    return Isolation(
        _one_of(chance, Isolation, "place"),
        at,
        None if chance.random() < 0.7 else now,
        tuple(day for day in days if chance.random() <= attentive),
    )
