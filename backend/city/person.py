"""A person as the city knows them, whether they use its services or were only reported by an officer."""

import secrets
from datetime import date, datetime, time
from typing import ClassVar
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, Sex
from backend.problems import Problem
from backend.rulebook.language import calendar
from backend.security.field_encryption import FieldEncryption
from backend.store import ONE_SHARD, Conflict, Document, Duplicate, Index, ShardKey, Store
from backend.store.place import Place
from backend.store.retention import Retention


class BirthDateMissing(Problem):
    """The service depends on the person's age, and their identity document does not tell it."""

    status, title_zh = 409, "缺少出生日期"


class Person(Document, kw_only=True):
    """A person. `id` is random; the identity document is encrypted, and looked up by its keyed hash.

    `sex` and `born_on` are unknown if the document does not tell them and the person has not. `division` is the code of
    the county or district of their first registration, by which previews of the rules count people.
    """

    collection: ClassVar[str] = "profiles"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("id_digest",), unique=True),)
    shard_key: ClassVar[ShardKey] = ONE_SHARD
    retention: ClassVar[Retention] = Retention(
        grows_with="each person whom the city knows",
        ends="when the account is closed and no service keeps records of the person",
        names="a person",
    )

    id_number: str
    id_digest: str
    sex: Sex | None
    born_on: date | None
    created: datetime
    name: str | None = None
    division: str | None = None


def masked_name(name: str) -> str:
    """Return a name with all but its last character masked; of one character nothing is shown."""
    return "*" * (len(name) - 1) + name[-1] if len(name) > 1 else "*"


async def find_or_create_person(
    store: Store, encryption: FieldEncryption, id_number: IdentityDocument, now: datetime
) -> Person:
    """Return the person with this identity document, after creating it if there is none."""
    while True:
        person = await find_person(store, encryption, id_number)
        if person is not None:
            return await _with_division(store, person, id_number)
        try:
            return await store.insert(new_person(encryption, id_number, secrets.token_urlsafe(12), now))
        except Duplicate:
            continue  # a concurrent request created the same person


async def _with_division(store: Store, person: Person, id_number: IdentityDocument) -> Person:
    """Return the person, with the division that earlier editions did not keep."""
    if person.division == id_number.division:
        return person
    try:
        return await store.replace(replace(person, division=id_number.division))
    except Conflict:
        return await known_person(store, person.id)  # the next time will do


async def find_person(store: Store, encryption: FieldEncryption, id_number: IdentityDocument) -> Person | None:
    """Return the person with this identity document, or None."""
    page = await store.find(Person, {"id_digest": id_digest_of(encryption, id_number)}, limit=1)
    return page.documents[0] if page.documents else None


async def known_person(store: Store, person_id: str) -> Person:
    """Return a person whom the city knows. Another document names the id, and no Person is deleted."""
    person = await store.get(Person, person_id)
    assert person is not None, "the person is known"
    return person


def new_person(encryption: FieldEncryption, id_number: IdentityDocument, person_id: str, created: datetime) -> Person:
    """Return a Person with the sex and birth date that an identity document encodes."""
    return Person(
        id=person_id,
        id_number=encryption.encrypt(str(id_number), Place.of(Person, person_id, "id_number")),
        id_digest=id_digest_of(encryption, id_number),
        sex=id_number.sex,
        born_on=id_number.born_on,
        created=created,
        division=id_number.division,
    )


def document_of(encryption: FieldEncryption, person: Person) -> IdentityDocument:
    """Return the identity document by which a person is known."""
    return IdentityDocument.from_text(encryption.read(person, "id_number"))


def id_digest_of(encryption: FieldEncryption, id_number: IdentityDocument) -> str:
    """Return the keyed hash by which a person with this identity document is looked up."""
    return encryption.digest("id-number", str(id_number))


def birth_date(person: Person) -> date:
    """Return a person's birth date. Raises BirthDateMissing if it is unknown."""
    if person.born_on is None:
        raise BirthDateMissing(
            zh="该服务与年龄有关，请先在实名认证中补充出生日期。",
            en="This service depends on your age; first add your birth date to your verified identity.",
        )
    return person.born_on


def age(born_on: date, on: date) -> int:
    """Return the age in completed years on a day."""
    return on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))


def birthday(born_on: date, years: int, zone: ZoneInfo) -> datetime:
    """Return midnight of a birthday; for a person born on 29 February it is 1 March in other years."""
    return datetime.combine(calendar.birthday(born_on, years), time.min, zone)
