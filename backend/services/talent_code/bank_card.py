"""A person registers a bank card: the bank verifies it, nobody else may have named it, and the person is notified."""

from datetime import datetime, timedelta

from backend.benefits.accounts import register_account
from backend.benefits.claims import update_accounts
from backend.benefits.ports import PayoutBank
from backend.city.bank_cards import keep_card, verify_card
from backend.city.person import known_person
from backend.city.service import City
from backend.services.talent_code.model.talent import Talent, TalentTerms, notify
from backend.services.talent_code.review import CARD_USER, update_talent
from backend.services.talent_code.saga import claims, reviews


async def register_card(city: City, person_id: str, number: str, phone: str | None) -> None:
    """Register a person's bank card for payouts, and pay their claims to it once it is usable.

    Raises CardRefused, NotAllowed or BirthDateMissing.
    """
    person = await known_person(city.store, person_id)
    assurance = await verify_card(city, city.port(PayoutBank), person, number, phone)
    card = await keep_card(city, number, person_id, CARD_USER, assurance)

    def register(talent: Talent, now: datetime, terms: TalentTerms) -> Talent:
        wait = timedelta(days=terms("card_wait_days"))
        named = register_account(city, talent, number, card, assurance, now, wait)
        if named is talent or named.account == talent.account:
            return named
        return notify(named, "card_named" if talent.account is None else "card_changed", now)

    talent = await update_talent(city, person_id, register)
    await update_accounts(claims, city, talent)
    await reviews.run(city, talent)  # releases the former card, and notifies the person
