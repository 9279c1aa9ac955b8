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
    """Returns synthetic facts, always the same for a person; among many people, every bin of the scorecard occurs."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def facts(self, id_number: str, adult_at: datetime, senior_at: datetime) -> CreditFacts:
        """Return a person's credit facts. Raises UpstreamTimeout."""
        person = _digest(id_number)

        def work(connection: sqlite3.Connection) -> CreditFacts | None:
            if self.database.outcome(connection, "facts") != "fine":
                return None
            row = connection.execute("SELECT body FROM facts WHERE person = ?", (person,)).fetchone()
            facts = msgspec.json.decode(row["body"], type=CreditFacts) if row is not None else _synthetic_facts(person)
            return replace(facts, adult_at=adult_at, senior_at=senior_at)

        facts = await self.database.work(work)
        if facts is None:
            raise UpstreamTimeout("the credit registry does not answer")
        return facts

    def set_facts(self, id_number: str, facts: CreditFacts) -> None:
        """Set a person's credit facts; their birthdays still follow from the ID number."""
        row = (_digest(id_number), msgspec.json.encode(facts).decode())
        self.database.do(lambda connection: connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", row))


def _digest(id_number: str) -> str:
    return hashlib.sha256(f"credit\n{id_number}".encode()).hexdigest()


def _synthetic_facts(person: str) -> CreditFacts:
    rng = Random(person)  # noqa: S311  not used for security
    birthday = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    return CreditFacts(
        adult_at=birthday,
        senior_at=birthday,
        real_name=rng.choice(("number", "face", "bank")),
        city_score=rng.choice((None, *(rng.randint(560, 800) for _ in range(9)))),
        insurance_years=rng.randint(0, 30),
        arrears_fen=rng.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, rng.randint(1, 300_000))),
        breaches=rng.choice((0, 0, 0, 0, 0, 0, 0, 0, 1)),
        income=rng.choice(("none", "low", "middle", "middle", "high", "top")),
    )


def open_sandbox(settings: Settings) -> SandboxRegistry:
    """Open the sandbox whose file the settings name."""
    return SandboxRegistry(SandboxDatabase(settings.sandbox))
