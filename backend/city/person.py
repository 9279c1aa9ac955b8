"""A person as the city knows them, whether they use its services or were only reported by an officer."""

import re
import secrets
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct
from stdnum.cn import ric  # pyright: ignore[reportMissingTypeStubs]  untyped library
from stdnum.exceptions import ValidationError  # pyright: ignore[reportMissingTypeStubs]  likewise

from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.field_encryption import FieldEncryption
from backend.store import ONE_SHARD, Document, Duplicate, Index, Store

Sex = Literal["female", "male"]
_PATTERN = re.compile(r"\d{17}[\dX]", re.ASCII)
_SEX_DIGIT = 16


class InvalidIdNumber(Problem):
    """The resident ID number cannot have been issued (GB 11643-1999)."""

    status, title = 400, "Invalid ID number"


class Person(Document, kw_only=True):
    """A person. `id` is random; the ID number is encrypted, and looked up by its keyed hash."""

    collection: ClassVar[str] = "profiles"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("id_digest",), unique=True),)
    shard_key: ClassVar[Mapping[str, str]] = ONE_SHARD

    id_number: str
    id_digest: str
    sex: Sex
    born_on: date
    created: datetime
    name: str | None = None


class IdNumber(Struct, frozen=True):
    """A resident ID number, with the sex and birth date that it encodes."""

    number: str
    sex: Sex
    born_on: date


def parse_id_number(text: str, today: date, pointer: str = "/id_number") -> IdNumber:
    """Parse a resident ID number of 18 characters with its checksum. Raises InvalidIdNumber at the JSON `pointer`."""
    number = text.strip().upper()
    if not _PATTERN.fullmatch(number):
        raise _invalid(
            "身份证号码应为18位，最后一位可以是X。", "An ID number has 17 digits, then a digit or X.", pointer
        )
    try:
        ric.validate(number)  # pyright: ignore[reportUnknownMemberType]  untyped library
        born_on = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except (ValidationError, ValueError, LookupError) as error:  # stdnum raises KeyError for some unknown divisions
        chinese, english = (
            "身份证号码有误，请核对。",
            "The ID number's checksum, birth date or place is wrong; please check.",
        )
        raise _invalid(chinese, english, pointer) from error
    if born_on > today:
        raise _invalid(
            "身份证号码中的出生日期晚于今天，请核对。",
            "The birth date in the ID number is in the future; please check.",
            pointer,
        )
    return IdNumber(number, "male" if int(number[_SEX_DIGIT]) % 2 else "female", born_on)


def _invalid(chinese: str, english: str, pointer: str) -> InvalidIdNumber:
    return InvalidIdNumber(Text(zh=chinese, en=english), errors=(FieldError(pointer, english),))


async def find_or_create_person(
    store: Store, encryption: FieldEncryption, id_number: IdNumber, now: datetime
) -> Person:
    """Return the person with this ID number, after creating it if there is none."""
    digest = id_digest(encryption, id_number.number)
    while True:
        page = await store.find(Person, {"id_digest": digest}, limit=1)
        if page.documents:
            return page.documents[0]
        try:
            return await store.insert(new_person(encryption, id_number, secrets.token_urlsafe(12), now))
        except Duplicate:
            continue  # a concurrent request created the same person


async def known_person(store: Store, person_id: str) -> Person:
    """Return a person whom the city knows. Another document names the id, and no Person is deleted."""
    person = await store.get(Person, person_id)
    assert person is not None, "the person is known"
    return person


def new_person(encryption: FieldEncryption, id_number: IdNumber, person_id: str, created: datetime) -> Person:
    """Return a Person with the sex and birth date of an ID number."""
    return Person(
        id=person_id,
        id_number=encryption.encrypt(id_number.number),
        id_digest=id_digest(encryption, id_number.number),
        sex=id_number.sex,
        born_on=id_number.born_on,
        created=created,
    )


def id_digest(encryption: FieldEncryption, number: str) -> str:
    """Return the keyed hash that finds an ID number."""
    return encryption.digest("id-number", number)


def age(born_on: date, on: date) -> int:
    """Return the age in completed years on a day."""
    return on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))


def birthday(born_on: date, years: int, zone: ZoneInfo) -> datetime:
    """Return midnight of a birthday; for a person born on 29 February it is 1 March in other years."""
    try:
        day = born_on.replace(year=born_on.year + years)
    except ValueError:
        day = date(born_on.year + years, 3, 1)
    return datetime.combine(day, time.min, zone)
