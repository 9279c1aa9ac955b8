import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from stdnum.cn import ric

from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.person import (
    BirthDateMissing,
    Person,
    age,
    birth_date,
    birthday,
    document_of,
    find_or_create_person,
    new_person,
)
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring, make_keys
from backend.store.sqlite.store import SqliteStore

TODAY = date(2022, 5, 20)
NOW = datetime(2022, 5, 20, tzinfo=UTC)


def with_checksum(first_seventeen: str) -> str:
    return first_seventeen + ric.calc_check_digit(first_seventeen + "0")


WOMAN = with_checksum("33010619900307002")


def test_a_person_is_stored_once_even_if_thirty_two_requests_create_them_at_once(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    encryption = FieldEncryption(Keyring.open(tmp_path / "keys"))

    async def report() -> None:
        store = SqliteStore.open(tmp_path / "city.db", [Person])
        number = parse_id_number(WOMAN, TODAY)
        found = await asyncio.gather(*(find_or_create_person(store, encryption, number, NOW) for _ in range(32)))
        assert len({person.id for person in found}) == 1
        assert await store.count(Person, {}) == 1
        assert encryption.read(found[0], "id_number") == WOMAN
        assert found[0].created == NOW
        await store.close()

    asyncio.run(report())
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("city.db*"))
    assert WOMAN.encode() not in stored


def test_residents_are_looked_up_as_before_there_were_other_documents(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    encryption = FieldEncryption(Keyring.open(tmp_path / "keys"))
    person = new_person(encryption, parse_id_number(WOMAN, TODAY), "person", NOW)
    assert person.id_digest == encryption.digest("id-number", WOMAN)
    assert encryption.read(person, "id_number") == WOMAN


def test_a_person_is_a_year_older_on_their_birthday() -> None:
    assert [age(date(1990, 3, 7), date(2022, 3, day)) for day in (6, 7)] == [31, 32]
    assert [age(date(2020, 2, 29), day) for day in (date(2021, 2, 28), date(2021, 3, 1))] == [0, 1]


def test_a_birthday_begins_at_midnight_and_one_of_29_february_is_on_1_march_in_other_years() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    assert birthday(date(1990, 3, 7), 18, zone) == datetime(2008, 3, 7, tzinfo=zone)
    assert birthday(date(2004, 2, 29), 4, zone) == datetime(2008, 2, 29, tzinfo=zone)
    assert birthday(date(2004, 2, 29), 18, zone) == datetime(2022, 3, 1, tzinfo=zone)
    assert birthday(date(1990, 3, 7), 18, zone).tzinfo == zone


def test_a_birth_date_that_nobody_has_told_is_missing(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    encryption = FieldEncryption(Keyring.open(tmp_path / "keys"))
    resident = new_person(encryption, parse_id_number(WOMAN, TODAY), "resident", NOW)
    foreigner = new_person(encryption, IdentityDocument("EA1234567", "passport"), "foreigner", NOW)
    assert (birth_date(resident), resident.sex) == (date(1990, 3, 7), "female")
    assert (foreigner.born_on, foreigner.sex) == (None, None)
    with pytest.raises(BirthDateMissing):
        birth_date(foreigner)
    assert document_of(encryption, foreigner) == IdentityDocument("EA1234567", "passport")
