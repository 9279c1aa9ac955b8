"""A city for state machines of claims: a bank, and two processes whose clocks differ and that can be killed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.app import documents_of, open_city
from backend.benefits.budget import Budget, Entry
from backend.benefits.claim import Claim
from backend.benefits.ports import PayoutBank
from backend.city.service import City, Service, discover_integrations, rule_modules_of
from backend.rulebook import load_rulebook
from backend.rulebook.needs import facts_of
from backend.settings import Settings
from backend.store import Document, Store
from backend.store.connect import prepare_store
from tests.conftest import Clock
from tests.keys import new_keys
from tests.services.killing import KillingStore

T = TypeVar("T")
D = TypeVar("D", bound=Document)
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
BEHIND = timedelta(seconds=0.5)
"""How far the clock of the second process is behind."""


class WatchedStore(KillingStore):
    """A killing store that checks that no write of a budget exceeds its limit.

    `recorded_entries` are the entries that were recorded in claims, and the payments that were posted before their
    claims recorded them; a process may apply them to the budget at any time.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.drops = 0
        self.recorded_entries: list[tuple[str, Entry]] = []

    async def insert(self, document: D) -> D:
        try:
            return await super().insert(document)
        finally:
            if isinstance(document, Claim) and document.entry is not None:
                await self._note_entry(document, document.entry)

    async def replace(self, document: D) -> D:
        if isinstance(document, Budget):
            before = await self._store.get(type(document), document.id)
            assert before is not None
            assert committed(document) <= max(document.limit_fen, committed(before)), "the budget is overspent"
            self.drops += document.closed_until != before.closed_until
            posted = [one for one in document.entries if one not in before.entries and one.kind == "pay"]
            self.recorded_entries.extend((document.id, one) for one in posted)
        try:
            return await super().replace(document)
        finally:
            if isinstance(document, Claim) and document.entry is not None:
                await self._note_entry(document, document.entry)

    async def _note_entry(self, claim: Claim, entry: Entry) -> None:
        """Note an entry that is recorded in a claim, even if the process that recorded it was killed."""
        recorded = await self._store.get(type(claim), claim.id)
        if recorded is not None and recorded.entry == entry:
            assert recorded.budget is not None
            self.recorded_entries.append((recorded.budget, entry))


def committed(budget: Budget) -> int:
    """Return the amount that a budget has spent or reserved."""
    return budget.reserved_fen + budget.paid_fen - budget.returned_fen


class World:
    """One city for all examples, with a rulebook for each budget; each example has its own subjects and budgets."""

    def __init__(
        self, folder: Path, address: str, services: Sequence[Service], rules: Sequence[Path], driver: str = "motor"
    ) -> None:
        self.runner = asyncio.Runner()
        self.clock = Clock(NOON)
        self.serial = count(1)
        self.counts: Counter[str] = Counter()
        self.rulebooks = [
            load_rulebook(one, facts_of(rule_modules_of(services)), ZoneInfo("Asia/Shanghai")) for one in rules
        ]
        prepare_store(address, documents_of(services))
        settings = Settings(
            store=address,
            mongo_driver=driver,
            keys=new_keys(folder / "keys"),
            rules=str(rules[-1]),
            sandbox=str(folder / "sandbox.db"),
        )
        self.run(lambda: self._open(settings, services))

    async def _open(self, settings: Settings, services: Sequence[Service]) -> None:
        self.real = open_city(settings, services, discover_integrations("integrations"), clock=self.clock)
        self.stores = [WatchedStore(self.real.store) for _ in range(2)]
        behind = replace(self.real, clock=lambda: self.clock() - BEHIND)
        self.processes = [
            replace(city, store=store) for city, store in zip((self.real, behind), self.stores, strict=True)
        ]
        self.bank: Any = self.real.port(PayoutBank)
        self.bank.database.clock = self.clock

    def city(self, process: int, budget: int) -> City:
        """Return the city as seen by one of its two processes, with one of the rulebooks."""
        return replace(self.processes[process % 2], rulebook=self.rulebooks[budget])

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await work()

        return self.runner.run(whole())

    def clear_faults(self) -> None:
        """Remove all scripted faults and kills."""
        self.bank.database.clear_faults()
        for store in self.stores:
            store.countdown = None

    @property
    def kills(self) -> int:
        return sum(store.kills for store in self.stores)

    def close(self) -> None:
        with suppress(Exception):
            self.run(self.real.store.close)
        self.runner.close()


def card_number(serial: int) -> str:
    """Return the number of a bank card, with its check digit (ISO/IEC 7812)."""
    body = f"62{serial:013d}"
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(body)))
    return f"{body}{-total % 10}"
