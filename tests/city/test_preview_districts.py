"""People are counted by the district of their first registration, which their profile keeps."""

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.city.divisions import division_name
from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.person import Person, find_or_create_person, find_person
from backend.city.preview import preview_editions
from backend.rulebook.preview.report import Means, ModulePreview
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring, make_keys
from backend.services.health_code.model import HealthRecord
from backend.store import Store
from tests.city.test_preview import NOW, STORED, contact, longer_isolation, record, without_numba
from tests.rulebook.test_agreement import RULEBOOK
from tests.store.opener import opener

Open = Callable[[], Store]
DISTRICTS = ["330106"] * 7 + ["330110"] * 6 + ["330113"] * 2 + [None] * 5


@pytest.fixture(params=["sqlite", "mongodb-motor"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, [HealthRecord, Person])


def person(number: int, division: str | None) -> Person:
    return Person(
        id=f"person-{number:05}",
        revision=1,
        id_number="encrypted",
        id_digest=f"digest-{number}",
        sex=None,
        born_on=None,
        created=NOW,
        division=division,
    )


def previewed(opened: Open) -> ModulePreview:
    """Return the preview of a city in which everybody turns red again but each seventh person."""

    async def run() -> ModulePreview:
        store = opened()
        people = [person(number, code) for number, code in enumerate(DISTRICTS)]
        await store.restore(people[:-2])  # of the last two there is no profile
        days = [2 if number % 7 == 0 else 8 for number in range(len(people))]
        records = [record(number, contact(day)) for number, day in enumerate(days)]
        await store.restore([replace(one, revision=1) for one in records])
        (module,) = (await preview_editions(store, STORED, RULEBOOK, longer_isolation(), NOW)).modules
        await store.close()
        return module

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("means", ["columns", "objects"])
def test_people_are_counted_by_the_district_of_their_profile(
    opened: Open, means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    if means == "objects":
        monkeypatch.setattr("backend.city.preview.means_of", without_numba)
    module = previewed(opened)
    assert module.by == means
    assert [(one.district, one.name, one.people, one.worse) for one in module.districts] == [
        ("330106", "浙江省西湖区", 7, 6),
        ("", "", None, None),
        ("330110", "浙江省余杭区", 6, 5),
        ("*", "", None, None),
    ]


def test_a_profile_from_before_gets_its_district_when_the_person_is_identified(opened: Open, tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    encryption = FieldEncryption(Keyring.open(tmp_path / "keys"))
    document = IdentityDocument("330106199001011239")

    async def run() -> tuple[str | None, str | None]:
        store = opened()
        known = await find_or_create_person(store, encryption, document, NOW)
        await store.replace(replace(known, division=None))
        again = await find_or_create_person(store, encryption, document, NOW)
        kept = await find_person(store, encryption, document)
        await store.close()
        assert kept == again
        return again.division, kept and kept.division

    assert asyncio.run(run()) == ("330106", "330106")


@pytest.mark.parametrize(
    ("code", "name"),
    [("330106", "浙江省西湖区"), ("330113", "浙江省临平区"), ("110101", "北京市东城区"), ("990001", "990001")],
)
def test_a_district_has_its_name_and_an_invented_one_its_code(code: str, name: str) -> None:
    assert division_name(code) == name


def test_a_passport_tells_no_district() -> None:
    passport = parse_id_number("E12345678", date(2026, 11, 29), kind="passport")
    assert passport.division is None
