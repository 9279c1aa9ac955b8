"""The bank account of a claim: a copy of its claimant's, so that a payout reads one document."""

from msgspec.structs import replace

from backend.benefits.claim import C, Claimant
from backend.benefits.service import AnyBenefits
from backend.city.service import City
from backend.store.place import Place


def with_account(city: City, claim: C, claimant: Claimant) -> C:
    """Return a claim with its claimant's account; the same object if it has it."""
    number = _number(city, claimant)
    if number == _number(city, claim):
        return claim
    place = Place.of(type(claim), claim.id, "account")
    return replace(claim, account=None if number is None else city.encryption.encrypt(number, place))


async def account_of(benefits: AnyBenefits, city: City, claim: C) -> str:
    """Return the number of the account of a claim. Claims of earlier editions have none, but their claimants do."""
    owner = claim if claim.account is not None else await city.store.get(benefits.claimant, claim.subject)
    number = None if owner is None else _number(city, owner)
    assert number is not None, "money is claimed with an account only"
    return number


def _number(city: City, owner: C | Claimant) -> str | None:
    return None if owner.account is None else city.encryption.read(owner, "account")
