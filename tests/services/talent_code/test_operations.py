"""How many store operations a claim takes, which bounds how many claims a city can serve per second."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.app import documents_of, open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.services.talent_code.model.claim import Claim
from backend.settings import Settings
from backend.store.connect import prepare_store
from tests.counting_store import CountingStore
from tests.keys import new_keys
from tests.services.talent_code.crowd import claim_at_once, make_talents
from tests.services.talent_code.sample_rules import write_rules

PEOPLE, COVERED, EACH_FEN, MAX_CONCURRENT = 400, 200, 50_00, 64


@pytest.fixture
def settings(address: str, tmp_path: Path) -> Settings:
    """Return the settings of a city whose plain benefit pays half of the people."""
    prepare_store(address, documents_of(discover_services()))
    rules = write_rules(tmp_path / "rules", COVERED * EACH_FEN, only="plain")
    sandbox = str(tmp_path / "sandbox.db")
    return Settings(store=address, keys=new_keys(tmp_path / "keys"), sandbox=sandbox, rules=str(rules))


async def claims_of_halves(settings: Settings) -> list[tuple[list[Claim], float]]:
    """Let the first half claim, whom the budget covers, and then the others; return operations per claim of each."""
    city = open_city(settings, discover_services(), discover_integrations("integrations"))
    counted = CountingStore(city.store)
    people = await make_talents(city, PEOPLE)
    halves = [
        await claims_of(replace(city, store=counted), counted, half) for half in (people[:COVERED], people[COVERED:])
    ]
    await city.store.close()
    return halves


async def claims_of(city: City, counted: CountingStore, people: list[str]) -> tuple[list[Claim], float]:
    before = counted.total()
    answers, _ = await claim_at_once([city], people, ["plain"], MAX_CONCURRENT)
    return [answer.claim for answer in answers], (counted.total() - before) / len(people)


def test_a_claim_takes_about_seven_operations(settings: Settings) -> None:
    """A paid claim has seven of its own, and a share in the reads and writes of the budget and the waiting list.

    It reads the talent; stores the claim with its reservation, and the talent with the claim; once the money is
    reserved, it stores the request to the bank, and reads the payee's name; once the bank has paid and the budget has
    the payment, it keeps the notice, and stores all that. A waiting one needs neither bank nor name.
    """
    (paid, each_paid), (waiting, each_waiting) = asyncio.run(claims_of_halves(settings))
    print(f"{each_paid:.2f} operations for each paid claim, {each_waiting:.2f} for each waiting one")  # noqa: T201
    assert {claim.state for claim in paid} == {"granted"}
    assert {claim.state for claim in waiting} == {"waiting"}
    assert (each_paid + each_waiting) / 2 <= 7
    assert each_paid <= 8.5
    assert each_waiting <= 6
