"""A synthetic city: the same invented people for the same seed, however often it is interrupted."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from stdnum.cn import ric

from backend.app import open_city
from backend.city.person import Person
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.synthetic_data import fill_city
from backend.services.account.model.account import Account
from backend.services.health_code.model import HealthRecord
from backend.services.talent_code.model.talent import Talent
from backend.settings import Settings
from tests.conftest import Clock

SERVICES = discover_services()


@contextmanager
def opened(settings: Settings, clock: Clock) -> Iterator[City]:
    city = open_city(settings, SERVICES, discover_integrations("integrations"), clock=clock)
    try:
        yield city
    finally:
        asyncio.run(city.store.close())


def fill(
    city: City, citizens: int, seed: int = 1, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> int:
    return asyncio.run(fill_city(city, SERVICES, citizens, seed, progress))


def people(city: City) -> list[Person]:
    async def scan() -> list[Person]:
        return [person async for person in city.store.scan(Person)]

    return asyncio.run(scan())


def counts(city: City) -> list[int]:
    return [asyncio.run(city.store.count(kind, {})) for kind in (Person, Account, HealthRecord)]


def test_each_citizen_has_a_person_an_account_and_a_health_record(settings: Settings, clock: Clock) -> None:
    with opened(settings, clock) as city:
        assert fill(city, 40) == 40
        assert counts(city) == [40, 40, 40]


def test_invented_id_numbers_have_a_checksum_and_belong_to_no_one(settings: Settings, clock: Clock) -> None:
    with opened(settings, clock) as city:
        fill(city, 40)
        for person in people(city):
            number = city.encryption.read(person, "id_number")
            assert number[-1] == ric.calc_check_digit(number)
            assert not ric.is_valid(number), "no authority issues numbers of this division"
            assert number[6:14] == f"{person.born_on:%Y%m%d}"
            assert person.sex == ("male" if int(number[16]) % 2 else "female")
            assert person.born_on <= clock.now.date()


def test_the_same_seed_invents_the_same_people(settings: Settings, clock: Clock, tmp_path: Path) -> None:
    seen: list[list[tuple[str, object, str]]] = []
    for name in ("one", "other"):
        with opened(replace(settings, store=f"sqlite:///{tmp_path}/{name}.db"), clock) as city:
            fill(city, 30, seed=7)
            seen.append([(p.id, p.born_on, city.encryption.read(p, "name")) for p in people(city)])
    assert seen[0] == seen[1]


def test_a_larger_city_starts_with_the_same_people(settings: Settings, clock: Clock) -> None:
    with opened(settings, clock) as city:
        assert fill(city, 20) == 20
        assert fill(city, 20) == 0
        assert fill(city, 30) == 10
        assert counts(city) == [30, 30, 30]


def test_an_interrupted_run_is_finished_by_the_next(settings: Settings, clock: Clock) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with opened(settings, clock) as city:
        with pytest.raises(KeyboardInterrupt):
            fill(city, 1_200, progress=interrupt)
        assert counts(city)[0] == 0, "each Person is stored last"
        assert fill(city, 1_200) == 1_200
        assert counts(city) == [1_200, 1_200, 1_200]


def test_progress_is_reported_up_to_the_end(settings: Settings, clock: Clock) -> None:
    reported: list[tuple[int, int]] = []
    with opened(settings, clock) as city:
        fill(city, 600, progress=lambda done, total: reported.append((done, total)))
        talents = asyncio.run(city.store.count(Talent, {}))
        kinds = [kind for service in SERVICES for kind in service.documents]
        stored = sum(asyncio.run(city.store.count(kind, {})) for kind in kinds)
    assert reported == sorted(reported)
    sources = sum(1 for service in SERVICES if service.synthesize) + 1
    assert reported[0] == (500, 600 * sources), (
        "at first a document of each person and service is expected, and a Person"
    )
    assert 30 < talents < 60
    assert stored >= 1_804 + talents, "three documents of each person, four of the invented district, and few talents"
    assert reported[-1] == (stored, stored)
