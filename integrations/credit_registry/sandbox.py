"""A sandbox of the city's registries: it derives a person's credit facts from a digest of their ID number."""

import hashlib
import sqlite3
from datetime import datetime
from random import Random

import msgspec
from msgspec.structs import replace

from backend.city.upstream import UpstreamTimeout
from backend.services.medical_credit.facts import CreditFacts
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase


class SandboxRegistry:
    """Returns invented facts: always the same for one person; many people cover all bins of the scorecard."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def facts(self, id_number: str, adult_at: datetime, senior_at: datetime) -> CreditFacts:
        """Return a person's credit facts. Raises UpstreamTimeout."""
        person = _digest(id_number)

        def work(file: sqlite3.Connection) -> CreditFacts | None:
            if self.database.outcome(file, "facts") != "fine":
                return None
            row = file.execute("SELECT body FROM facts WHERE person = ?", (person,)).fetchone()
            known = msgspec.json.decode(row["body"], type=CreditFacts) if row is not None else _invented_facts(person)
            return replace(known, adult_at=adult_at, senior_at=senior_at)

        facts = await self.database.work(work)
        if facts is None:
            raise UpstreamTimeout("the credit registry does not answer")
        return facts

    def set_facts(self, id_number: str, facts: CreditFacts) -> None:
        """Set a person's credit facts; their birthdays still follow from the ID number."""
        row = (_digest(id_number), msgspec.json.encode(facts).decode())
        self.database.do(lambda file: file.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", row))


def _digest(id_number: str) -> str:
    return hashlib.sha256(f"credit\n{id_number}".encode()).hexdigest()


def _invented_facts(person: str) -> CreditFacts:
    chance = Random(person)  # noqa: S311  not used for security
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


def open_sandbox(settings: Settings) -> SandboxRegistry:
    """Open the sandbox whose file the settings name."""
    return SandboxRegistry(SandboxDatabase(settings.sandbox))
