import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from stdnum.cn import ric

from backend.city.person import InvalidIdNumber, Person, age, find_or_create_person, parse_id_number
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring, make_keys
from backend.store.sqlite.store import SqliteStore

TODAY = date(2022, 5, 20)
NOW = datetime(2022, 5, 20, tzinfo=UTC)


def with_checksum(first_seventeen: str) -> str:
    return first_seventeen + ric.calc_check_digit(first_seventeen + "0")


WOMAN = with_checksum("33010619900307002")
MAN = with_checksum("33010619900307001")


def test_an_id_number_encodes_sex_and_birth_date() -> None:
    woman, man = parse_id_number(WOMAN, TODAY), parse_id_number(MAN, TODAY)
    assert (woman.sex, woman.born_on) == ("female", date(1990, 3, 7))
    assert (man.sex, man.born_on) == ("male", date(1990, 3, 7))


def test_a_check_character_x_may_be_lower_case() -> None:
    number = next(n for n in (with_checksum(f"33010619900307{order:03}") for order in range(100)) if n.endswith("X"))
    assert parse_id_number(f" {number.lower()} ", TODAY).number == number


def test_a_birth_date_may_be_today_but_not_tomorrow() -> None:
    assert parse_id_number(with_checksum("33010620220520001"), TODAY).born_on == TODAY
    with pytest.raises(InvalidIdNumber) as caught:
        parse_id_number(with_checksum("33010620220521001"), TODAY)
    assert "future" in caught.value.errors[0].detail


@pytest.mark.parametrize(
    "text",
    [
        WOMAN[:-1] + ("0" if WOMAN[-1] != "0" else "1"),
        with_checksum("33010619900230001"),
        with_checksum("33010619901301001"),
        with_checksum("99010619900307001"),
        WOMAN[:-1],
        WOMAN + "1",
        "１" * 18,
        "三三〇一〇六一九九〇〇三〇七〇〇一一",
        "",
    ],
    ids=["checksum", "30 February", "month 13", "no such place", "17", "19", "full width", "Chinese", "empty"],
)
def test_an_invalid_number_is_refused_with_its_pointer(text: str) -> None:
    with pytest.raises(InvalidIdNumber) as caught:
        parse_id_number(text, TODAY, "/people/3/id_number")
    assert caught.value.errors[0].pointer == "/people/3/id_number"


def test_a_person_is_stored_once_even_if_thirty_two_requests_create_them_at_once(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    encryption = FieldEncryption(Keyring.open(tmp_path / "keys"))

    async def report() -> None:
        store = SqliteStore.open(tmp_path / "city.db", [Person])
        number = parse_id_number(WOMAN, TODAY)
        found = await asyncio.gather(*(find_or_create_person(store, encryption, number, NOW) for _ in range(32)))
        assert len({person.id for person in found}) == 1
        assert await store.count(Person, {}) == 1
        assert encryption.decrypt(found[0].id_number) == WOMAN
        assert found[0].created == NOW
        await store.close()

    asyncio.run(report())
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("city.db*"))
    assert WOMAN.encode() not in stored


def test_a_person_is_a_year_older_on_their_birthday() -> None:
    assert [age(date(1990, 3, 7), date(2022, 3, day)) for day in (6, 7)] == [31, 32]
    assert [age(date(2020, 2, 29), day) for day in (date(2021, 2, 28), date(2021, 3, 1))] == [0, 1]
