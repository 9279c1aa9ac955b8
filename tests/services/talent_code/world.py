"""A city of talents for state machines: small benefits, registries that know the truth, a bank, and sudden deaths."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.app import documents_of, facts_of, open_city
from backend.benefits.budget import Entry
from backend.benefits.ports import PayoutBank
from backend.city.person import find_or_create_person, parse_id_number
from backend.city.service import City, discover_integrations, discover_services
from backend.rulebook import load_rulebook
from backend.services.talent_code.facts import Degree, Title
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.talent import Figures, Talent
from backend.services.talent_code.ports import (
    Education,
    Employment,
    PropertyRegister,
    SocialInsurance,
    Tax,
)
from backend.services.talent_code.review import talent_with_class
from backend.settings import Settings
from backend.store import Document, Store
from backend.store.connect import prepare_store
from tests.conftest import Clock
from tests.services.health_code.scene import id_number
from tests.services.killing import KillingStore
from tests.services.talent_code.sample_rules import write_rules

T = TypeVar("T")
D = TypeVar("D", bound=Document)
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
DOCTOR = Degree("doctor", datetime(2020, 6, 30, tzinfo=UTC))
LEADER = Title("municipal_leader", datetime(2021, 9, 1, tzinfo=UTC))
BEHIND = timedelta(seconds=0.5)
"""How far the clock of the second process is behind."""

BUDGETS_FEN = (0, 100_00, 150_01, 400_00, 2_000_00)


class WatchedStore(KillingStore):
    """Kills as its kind does, and sees to it that no write of a budget spends more than its limit leaves.

    `carried` are the entries that some process has read from a claim, and may come with however late.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.drops = 0
        self.carried: list[tuple[str, Entry]] = []

    async def replace(self, document: D) -> D:
        if isinstance(document, Budget):
            before = await self._store.get(Budget, document.id)
            assert before is not None
            assert committed(document) <= max(document.limit_fen, committed(before)), "the budget is overspent"
            self.drops += document.closed_until != before.closed_until
        try:
            return await super().replace(document)
        finally:
            if isinstance(document, Claim) and document.entry is not None:
                await self._carry(document.id, document.entry)

    async def _carry(self, claim_id: str, entry: Entry) -> None:
        """Keep an entry that is noted in a claim now, though the process that noted it may be dead."""
        noted = await self._store.get(Claim, claim_id)
        if noted is not None and noted.entry == entry:
            assert noted.budget is not None
            self.carried.append((noted.budget, entry))


def committed(budget: Budget) -> int:
    """Give what a budget has spent or promised."""
    return budget.reserved_fen + budget.paid_fen - budget.returned_fen


class Person:
    """A talent of an example, with what the registries know of them."""

    def __init__(self, number: str, profile_id: str, account: str) -> None:
        self.number, self.id, self.account = number, profile_id, account


class World:
    """One city for all examples, each of which has talents and budgets of its own: a year for each."""

    def __init__(self, folder: Path, address: str, driver: str = "motor") -> None:
        self.runner = asyncio.Runner()
        self.clock = Clock(NOON)
        self.serial = count(1)
        self.did: Counter[str] = Counter()
        rules = [write_rules(folder / f"rules-{fen}", fen) for fen in BUDGETS_FEN]
        facts, zone = facts_of(discover_services()), ZoneInfo("Asia/Shanghai")
        self.rulebooks = [load_rulebook(one, facts, zone) for one in rules]
        prepare_store(address, documents_of(discover_services()))
        settings = Settings(
            store=address,
            mongo_driver=driver,
            keys=str(folder / "keys"),
            rules=str(rules[-1]),
            sandbox=str(folder / "sandbox.db"),
        )
        self.run(lambda: self._open(settings))

    async def _open(self, settings: Settings) -> None:
        self.real = open_city(settings, discover_services(), discover_integrations("integrations"), clock=self.clock)
        self.stores = [WatchedStore(self.real.store) for _ in range(2)]
        behind = replace(self.real, clock=lambda: self.clock() - BEHIND)
        self.processes = [
            replace(city, store=store) for city, store in zip((self.real, behind), self.stores, strict=True)
        ]
        self.bank: Any = self.real.port(PayoutBank)
        self.education: Any = self.real.port(Education)
        self.employment: Any = self.real.port(Employment)
        self.insurance: Any = self.real.port(SocialInsurance)
        self.tax: Any = self.real.port(Tax)
        self.property: Any = self.real.port(PropertyRegister)
        for port in (self.bank, self.education, self.employment, self.insurance, self.tax, self.property):
            port.database.clock = self.clock

    def city(self, process: int, budget: int) -> City:
        """Give the city as one of its two processes has it, with one of the rulebooks."""
        return replace(self.processes[process % 2], rulebook=self.rulebooks[budget])

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await work()

        return self.runner.run(whole())

    def clear_faults(self) -> None:
        """End all trouble, and let nobody be killed."""
        self.bank.database.clear_faults()
        for store in self.stores:
            store.countdown = None

    @property
    def kills(self) -> int:
        return sum(store.kills for store in self.stores)

    def person(self, *qualification: Degree | Title) -> Person:
        """Make somebody who is granted the class that this evidence gives, with an account of their own, at NOON."""
        serial = next(self.serial)
        number = id_number(serial % 1_000, 1990 + serial // 1_000)
        account = card_number(serial)
        self.education.set_degrees(number, *(one for one in qualification if isinstance(one, Degree)))
        self.employment.set_merits(number, *(one for one in qualification if isinstance(one, Title)))
        self.property.set_homes(number, 0)
        self.insurance.set_months(number, 0)

        async def make() -> str:
            city = self.real
            known = parse_id_number(number, city.today())
            profile = await find_or_create_person(city.store, city.encryption, known, NOON)
            evidence = tuple(
                Evidence(f"e{place}", one, NOON, NOON, "confirmed", confirmed_at=NOON, answered_at=NOON)
                for place, one in enumerate(qualification, 1)
            )
            await city.store.insert(
                Talent(
                    id=profile.id,
                    code_id=f"code-{serial}",
                    born_at=datetime(1990, 1, 1, tzinfo=UTC),
                    evidence=evidence,
                    figures=Figures(NOON + timedelta(days=10_000), 0, NOON.year - 1, 0, 0),
                    account=city.encryption.encrypt(account),
                    account_ending=account[-4:],
                )
            )
            await talent_with_class(city, profile.id)
            return profile.id

        return Person(number, self.run(make), account)

    def close(self) -> None:
        with suppress(Exception):
            self.run(self.real.store.close)
        self.runner.close()


def card_number(serial: int) -> str:
    """Give the number of a bank card, with its check digit (ISO/IEC 7812)."""
    body = f"62{serial:013d}"
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(body)))
    return f"{body}{-total % 10}"
