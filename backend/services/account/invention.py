"""Accounts for a synthetic city: each person has a phone by which they can be tried out."""

import base64
from collections.abc import Iterator, Sequence
from random import Random

from backend.city.person import Profile
from backend.city.service import City
from backend.services.account.model import Account


def synthesize(city: City, chance: Random, profiles: Sequence[Profile]) -> Iterator[Account]:
    """Make an account for each profile, with a phone of its own; the same chance makes the same phones."""
    for number, profile in enumerate(profiles):
        phone = invented_phone(number)
        yield Account(
            id=base64.urlsafe_b64encode(chance.randbytes(12)).decode(),
            phone=city.encryption.encrypt(phone),
            phone_digest=city.encryption.digest("phone", phone),
            created=city.now(),
            citizen_id=profile.id,
        )


def invented_phone(number: int) -> str:
    """Give the phone of the invented person with this number in the city."""
    return f"+86139{number:08d}"
