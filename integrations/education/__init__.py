"""The sandbox of the registry of degrees: it invents who studied, and confirms, refutes, delays and errs."""

from random import Random
from typing import get_args

from backend.service import Integration
from backend.services.talent_code.facts import Degree, DegreeLevel, School
from backend.services.talent_code.ports import Education, Finding
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, birth_year, chance_of, confirm, day_of

AWARDED_AT_AGE: dict[DegreeLevel, int] = {"bachelor": 22, "master": 25, "doctor": 29}


class SandboxEducation:
    """Of ten people six have no degree, three a bachelor's alone, and one a master's and perhaps a doctor's as well."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._degrees = Register(books, "confirm_degree", tuple[Degree, ...], self._invented)

    async def confirm_degree(self, id_number: str, evidence: str, degree: Degree) -> Finding:
        """Confirm a degree that equals one of the person's in level, school, way of study, and day of award in UTC+8.

        Raises Silent, or Refused where it will not say.
        """
        return await confirm(self._degrees, id_number, evidence, degree)

    def known(self, id_number: str) -> tuple[Degree, ...]:
        """Give a person's true degrees."""
        return self._degrees.known(id_number)

    def set_degrees(self, id_number: str, *degrees: Degree) -> None:
        """Let a person have these degrees from now on, and no others."""
        self._degrees.set(id_number, degrees)

    def _invented(self, id_number: str) -> tuple[Degree, ...]:
        chance = chance_of("degrees", id_number)
        reached = chance.choices((0, 1, 2, 3), weights=(60, 30, 8, 2))[0]
        degrees = [_degree(chance, birth_year(id_number), level) for level in list(AWARDED_AT_AGE)[:reached]]
        return tuple(degree for degree in degrees if degree.awarded_at <= self.books.clock())


def _degree(chance: Random, born: int, level: DegreeLevel) -> Degree:
    awarded_at = day_of(born + AWARDED_AT_AGE[level], 6, chance.randint(20, 30))
    school = chance.choices(get_args(School), weights=(80, 17, 3))[0]
    return Degree(level, awarded_at, school, full_time=chance.randrange(10) > 0)


def _make(settings: Settings) -> SandboxEducation:
    return SandboxEducation(Books(settings.sandbox))


integration = Integration(port=Education, make=_make)
