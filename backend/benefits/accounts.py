"""The bank account of a claimant, and its copy on each claim, so that a payout need not read the claimant.

A card that replaces another one waits before money is paid to it, since whoever has taken over an account would change
the card first. It need not wait if the bank proves it by all four factors. A claimant's first card is used at once if
the bank confirms its holder's name: there is no card that somebody could have replaced.
"""

from datetime import datetime, timedelta
from typing import TypeVar

from msgspec.structs import replace

from backend.benefits.claim import C, Claim, Claimant
from backend.benefits.service import AnyBenefits
from backend.city.bank_cards import Assurance
from backend.city.service import City
from backend.store.place import Place

P = TypeVar("P", bound=Claimant)


def register_account(
    city: City, claimant: P, number: str, card: str, assurance: Assurance, now: datetime, wait: timedelta
) -> P:
    """Return a claimant with this account for payouts; the same object if it is their account already.

    `card` is its BankCard, and `assurance` what the bank confirms about it.
    """
    known = account_number(city, claimant)
    if known == number:
        usable = assurance == "proved"
        same = replace(claimant, card=card, payable_from=None if usable else claimant.payable_from)
        return claimant if same == claimant else same
    is_usable = assurance == "proved" or (known is None and assurance == "name")
    former = claimant.former_cards if claimant.card is None else (*claimant.former_cards, claimant.card)
    return replace(
        claimant,
        account=city.encryption.encrypt(number, Place.of(type(claimant), claimant.id, "account")),
        account_ending=number[-4:],
        card=card,
        payable_from=None if is_usable or not wait else now + wait,
        former_cards=former,
    )


def with_account(city: City, claim: C, claimant: Claimant) -> C:
    """Return a claim with its claimant's account; the same object if it has it."""
    number = account_number(city, claimant)
    if number == account_number(city, claim):
        same = claim.payable_from == claimant.payable_from
        return claim if same else replace(claim, payable_from=claimant.payable_from)
    place = Place.of(type(claim), claim.id, "account")
    account = None if number is None else city.encryption.encrypt(number, place)
    return replace(claim, account=account, payable_from=claimant.payable_from, name_differs=False)


async def account_of(benefits: AnyBenefits, city: City, claim: Claim) -> str:
    """Return the number of the account of a claim. Claims of earlier editions have none, but their claimants do."""
    owner = claim if claim.account is not None else await city.store.get(benefits.claimant, claim.subject)
    number = None if owner is None else account_number(city, owner)
    assert number is not None, "money is claimed with an account only"
    return number


def account_number(city: City, owner: Claim | Claimant) -> str | None:
    """Return the number of an account, or None if there is none."""
    return None if owner.account is None else city.encryption.read(owner, "account")
