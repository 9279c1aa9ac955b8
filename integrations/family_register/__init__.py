"""The sandbox of the registers of households, property and permits: families of the invented district."""

import hashlib
import sqlite3
from datetime import date, timedelta
from random import Random

import msgspec

from backend.city.service import Integration
from backend.city.upstream import UpstreamTimeout
from backend.services.school_lookup.family import Child, Family, FamilyHome, HouseholdRegistration, Parent
from backend.services.school_lookup.invented_district import COLUMNS, DISTRICT, HOUSES, WEST_EAST
from backend.services.school_lookup.ports import FamilyRegister
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase


class SandboxFamilyRegister:
    """Invents families: the same person always has the same one, and every tenth has no children."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def family(self, id_number: str) -> Family | None:
        """Give the family of a person. Raises Silent."""
        person = _digest(id_number)

        def work(file: sqlite3.Connection) -> tuple[bool, Family | None]:
            if self.database.outcome(file, "family") != "fine":
                return False, None
            set_ = file.execute("SELECT body FROM families WHERE person = ?", (person,)).fetchone()
            if set_ is not None:
                return True, msgspec.json.decode(set_["body"], type=Family)
            return True, _invented(person, self.database.clock().date())

        answered, family = await self.database.work(work)
        if not answered:
            raise UpstreamTimeout("the registers do not answer")
        return family

    def set_family(self, id_number: str, family: Family) -> None:
        """Let this be known of a person from now on."""
        row = (_digest(id_number), msgspec.json.encode(family).decode())
        self.database.do(lambda file: file.execute("INSERT OR REPLACE INTO families VALUES (?, ?)", row))


def _digest(id_number: str) -> str:
    return hashlib.sha256(f"family\n{id_number}".encode()).hexdigest()


def _invented(person: str, today: date) -> Family | None:
    chance = Random(person)  # noqa: S311  invented families guard nothing
    if chance.randrange(10) == 0:
        return None
    home = f"{DISTRICT}{chance.choice(WEST_EAST[1:-1])}{chance.randint(1, 2 * HOUSES * COLUMNS)}号"
    born = [_birthday(today.year - age, chance) for age in chance.choice(((6,), (6,), (12,), (6, 12)))]
    local = chance.random() < 0.8  # noqa: PLR2004  invented
    since = timedelta(days=chance.choice((10, 400, 1_500)))
    held = date(today.year - chance.randint(1, 6), 6, 1)
    return Family(
        tuple(Child(day, min(day + since, today) if local else None) for day in born),
        HouseholdRegistration(home, parents=chance.choice(("all", "some")))
        if local
        else HouseholdRegistration(in_city=False),
        (FamilyHome(home, None, *(chance.choice(((100, 0), (0, 100), (50, 50))) if local else (0, 0))),),
        () if local else (Parent(held, held, held), Parent(held)),
    )


def _birthday(year: int, chance: Random) -> date:
    """Give a day of birth that counts with those born in the first eight months of a year."""
    return date(year - 1, 9, 1) + timedelta(days=chance.randrange(365))


def _make(settings: Settings) -> SandboxFamilyRegister:
    return SandboxFamilyRegister(SandboxDatabase(settings.sandbox))


integration = Integration(port=FamilyRegister, make=_make)
