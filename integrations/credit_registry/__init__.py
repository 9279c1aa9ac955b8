"""The sandbox of the city's registries: it invents a person's credit from the digest of their ID number."""

import hashlib
import sqlite3
from datetime import datetime
from random import Random

import msgspec
from msgspec.structs import replace

from backend.city.service import Integration
from backend.city.upstream import UpstreamTimeout
from backend.services.medical_credit.facts import CreditFacts
from backend.services.medical_credit.ports import CreditRegistry
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase


class SandboxRegistry:
    """Invents facts: the same person always has the same ones, and together people fill all bins of the scorecard."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def facts(self, id_number: str, adult_at: datetime, senior_at: datetime) -> CreditFacts:
        """Give what is known of a person's credit. Raises Silent."""
        person = _digest(id_number)

        def work(file: sqlite3.Connection) -> CreditFacts | None:
            if self.database.outcome(file, "facts") != "fine":
                return None
            set_ = file.execute("SELECT body FROM facts WHERE person = ?", (person,)).fetchone()
            known = msgspec.json.decode(set_["body"], type=CreditFacts) if set_ is not None else _invented(person)
            return replace(known, adult_at=adult_at, senior_at=senior_at)

        facts = await self.database.work(work)
        if facts is None:
            raise UpstreamTimeout("the credit registry does not answer")
        return facts

    def set_facts(self, id_number: str, facts: CreditFacts) -> None:
        """Let this be known of a person from now on; their birthdays follow from the ID number."""
        row = (_digest(id_number), msgspec.json.encode(facts).decode())
        self.database.do(lambda file: file.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", row))


def _digest(id_number: str) -> str:
    return hashlib.sha256(f"credit\n{id_number}".encode()).hexdigest()


def _invented(person: str) -> CreditFacts:
    chance = Random(person)  # noqa: S311  invented facts guard nothing
    birthday = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    return CreditFacts(
        adult_at=birthday,
        senior_at=birthday,
        real_name=chance.choice(("number", "face", "bank")),
        city_score=chance.choice((None, *(chance.randint(560, 800) for _ in range(9)))),
        insurance_years=chance.randint(0, 30),
        arrears_fen=chance.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, chance.randint(1, 300_000))),
        breaches=chance.choice((0, 0, 0, 0, 0, 0, 0, 0, 1)),
        income=chance.choice(("none", "low", "middle", "middle", "high", "top")),
    )


def _make(settings: Settings) -> SandboxRegistry:
    return SandboxRegistry(SandboxDatabase(settings.sandbox))


integration = Integration(port=CreditRegistry, make=_make)
