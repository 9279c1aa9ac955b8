"""A city for the state machine of visits, with a store whose process can be killed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from backend.app import open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.paylater.ports import Bank
from backend.services.medical_credit.ports import Insurance
from backend.settings import Settings
from tests.conftest import ROOT, Clock
from tests.keys import new_keys
from tests.services.killing import KillingStore
from tests.services.medical_credit.scene import NOON, make_hospital

T = TypeVar("T")
HOSPITALS = [make_hospital("HZ001", "医院1"), make_hospital("HZ002", "医院2")]


class World:
    """One city for all examples; each example has its own people and visits."""

    def __init__(self, folder: Path, address: str = "") -> None:
        self.runner = asyncio.Runner()
        self.clock = Clock(NOON)
        self.serial = count(1)
        self.visit_count = 0
        self.injected_faults: Counter[str] = Counter()
        self.city = self.run(lambda: self._open(folder, address or f"sqlite:///{folder}/city.db"))
        for hospital in HOSPITALS:
            self.run(lambda hospital=hospital: self.city.store.insert(hospital))

    async def _open(self, folder: Path, address: str) -> City:
        set_ = Settings(
            store=address,
            keys=new_keys(folder / "keys"),
            rules=str(ROOT / "rules"),
            sandbox=str(folder / "sandbox.db"),
        )
        city = open_city(set_, discover_services(), discover_integrations("integrations"), clock=self.clock)
        self.store = KillingStore(city.store)
        self.insurance: Any = city.port(Insurance)
        self.bank: Any = city.port(Bank)
        self.insurance.database.clock = self.bank.database.clock = self.clock
        return replace(city, store=self.store)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await work()

        return self.runner.run(whole())
