"""Five hundred people claim at once from a budget that covers a hundred claims."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.app import documents_of, open_city
from backend.benefits.budgets import get_or_create_budget
from backend.benefits.ports import PayoutBank
from backend.benefits.waitlist import serve_waitlist
from backend.city.service import City, discover_integrations, discover_services
from backend.services.talent_code.model.claim import Budget
from backend.services.talent_code.saga import benefits, claims
from backend.settings import Settings
from backend.store.connect import prepare_store
from tests.conftest import Clock
from tests.keys import new_keys
from tests.services.talent_code.crowd import Answer, claim_at_once, make_talents
from tests.services.talent_code.sample_rules import write_rules

pytestmark = pytest.mark.slow

CROWD, COVERED, EACH_FEN = 500, 100, 50_00
SPARE_FEN = 49_99
"""One fen less than another claim needs."""


@pytest.fixture
def settings(address: str, tmp_path: Path) -> Settings:
    """Return the settings of a city whose plain benefit pays 50 yuan to class E, a hundred times."""
    prepare_store(address, documents_of(discover_services()))
    return Settings(
        store=address,
        keys=new_keys(tmp_path / "keys"),
        sandbox=str(tmp_path / "sandbox.db"),
        rules=str(write_rules(tmp_path / "rules", COVERED * EACH_FEN + SPARE_FEN, only="plain")),
    )


async def crowd(settings: Settings) -> tuple[list[Answer], float, Budget, list[object]]:
    """Let all people claim at once through four independent processes, and return the results."""
    clock = Clock(datetime(2026, 3, 2, 4, tzinfo=UTC))

    def process() -> City:
        return open_city(settings, discover_services(), discover_integrations("integrations"), clock=clock)

    cities = [process() for _ in range(4)]
    try:
        people = await make_talents(cities[0], CROWD)
        answers, seconds = await claim_at_once(cities, people, ["plain"], CROWD)
        await serve_waitlist(claims, cities[0], "plain")
        budget = await get_or_create_budget(benefits, cities[0], "plain:2026")
        bank = cities[0].port(PayoutBank)
        return answers, seconds, budget, bank.entries()
    finally:
        for city in cities:
            await city.store.close()


def test_exactly_a_hundred_are_paid_and_four_hundred_are_put_on_the_waiting_list_at_once(settings: Settings) -> None:
    answers, seconds, budget, entries = asyncio.run(crowd(settings))
    slowest = max(answer.seconds for answer in answers)
    print(f"{CROWD / seconds:,.0f} claims a second, the slowest after {slowest:.1f} s")  # noqa: T201
    assert Counter(answer.claim.state for answer in answers) == {"granted": 100, "waiting": 400}
    assert all(answer.claim.paid_fen == EACH_FEN for answer in answers if answer.claim.state == "granted")
    assert (budget.paid_fen, budget.reserved_fen, budget.free_fen) == (COVERED * EACH_FEN, 0, SPARE_FEN)
    assert len(entries) == COVERED
