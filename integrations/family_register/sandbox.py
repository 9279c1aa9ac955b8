"""The sandbox of the registers of households, property and permits: families of the synthetic district."""

import hashlib
import sqlite3
from datetime import date, timedelta
from random import Random

import msgspec

from backend.city.upstream import UpstreamTimeout
from backend.services.school_lookup.family import Child, Family, FamilyHome, HouseholdRegistration, Parent
from backend.services.school_lookup.synthetic_district import COLUMNS, DISTRICT, HOUSES, WEST_EAST
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase


class SandboxFamilyRegister:
    """Returns synthetic families: always the same one for a person; one person in ten has no children."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def family(self, id_number: str) -> Family | None:
        """Return the family of a person, or None if no children are on record. Raises UpstreamTimeout."""
        person = _digest(id_number)

        def work(file: sqlite3.Connection) -> tuple[bool, Family | None]:
            if self.database.outcome(file, "family") != "fine":
                return False, None
            set_ = file.execute("SELECT body FROM families WHERE person = ?", (person,)).fetchone()
            if set_ is not None:
                return True, msgspec.json.decode(set_["body"], type=Family)
            return True, _synthetic_family(person, self.database.clock().date())

        answered, family = await self.database.work(work)
        if not answered:
            raise UpstreamTimeout("the registers do not answer")
        return family

    def set_family(self, id_number: str, family: Family) -> None:
        """Store the family of a person."""
        row = (_digest(id_number), msgspec.json.encode(family).decode())
        self.database.do(lambda file: file.execute("INSERT OR REPLACE INTO families VALUES (?, ?)", row))


def _digest(id_number: str) -> str:
    return hashlib.sha256(f"family\n{id_number}".encode()).hexdigest()


def _synthetic_family(person: str, today: date) -> Family | None:
    rng = Random(person)  # noqa: S311  not used for security
    if rng.randrange(10) == 0:
        return None
    home = f"{DISTRICT}{rng.choice(WEST_EAST[1:-1])}{rng.randint(1, 2 * HOUSES * COLUMNS)}号"
    born = [_birthday(today.year - age, rng) for age in rng.choice(((6,), (6,), (12,), (6, 12)))]
    local = rng.random() < 0.8  # noqa: PLR2004  an arbitrary share
    since = timedelta(days=rng.choice((10, 400, 1_500)))
    held = date(today.year - rng.randint(1, 6), 6, 1)
    return Family(
        tuple(Child(day, min(day + since, today) if local else None) for day in born),
        HouseholdRegistration(home, parents=rng.choice(("all", "some")))
        if local
        else HouseholdRegistration(in_city=False),
        (FamilyHome(home, None, *(rng.choice(((100, 0), (0, 100), (50, 50))) if local else (0, 0))),),
        () if local else (Parent(held, held, held), Parent(held)),
    )


def _birthday(year: int, rng: Random) -> date:
    """Return a date of birth in the school year that ends in August of a year."""
    return date(year - 1, 9, 1) + timedelta(days=rng.randrange(365))


def make(settings: Settings) -> SandboxFamilyRegister:
    """Return the sandbox of the settings' file."""
    return SandboxFamilyRegister(SandboxDatabase(settings.sandbox))
