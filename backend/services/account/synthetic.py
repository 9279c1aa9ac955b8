"""Accounts of the synthetic city: each person has a phone to sign in with."""

import base64
from collections.abc import Iterator, Sequence
from random import Random

from backend.city.invented_people import phone_of_place
from backend.city.person import Person
from backend.city.service import City
from backend.security.identity import IN_PERSON
from backend.services.account.accounts import encrypted_phone, phone_digest_of
from backend.services.account.model.account import Account


def synthesize(city: City, rng: Random, people: Sequence[Person]) -> Iterator[Account]:
    """Yield an account with a phone for each person; the same seed yields the same accounts."""
    for number, person in enumerate(people):
        phone = phone_of_place(number)
        account_id = base64.urlsafe_b64encode(rng.randbytes(12)).decode()
        yield Account(
            id=account_id,
            phone=encrypted_phone(city, account_id, phone),
            phone_digest=phone_digest_of(city, phone),
            created=city.now(),
            citizen_id=person.id,
            level=IN_PERSON,
        )
