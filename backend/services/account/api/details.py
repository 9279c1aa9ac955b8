"""The account as its holder sees it."""

from backend.city.person import Person, document_of, masked_name
from backend.city.service import City
from backend.services.account.api.schemas import AccountDetails
from backend.services.account.model.account import Account, masked_phone
from backend.services.account.model.identity import is_verified, masked_id_number


async def details_of(city: City, account: Account) -> AccountDetails:
    """Return an account with masked identifiers; a person is shown once the registers have confirmed them."""
    person = await city.store.get(Person, account.citizen_id or "") if is_verified(account) else None
    name = None if person is None or person.name is None else city.encryption.read(person, "name")
    number = None if person is None else document_of(city.encryption, person).number
    return AccountDetails(
        id=account.id,
        phone=None if account.phone is None else masked_phone(city.encryption.read(account, "phone")),
        identity_verified=person is not None,
        level=account.level,
        name=None if name is None else masked_name(name),
        id_number=None if number is None else masked_id_number(number),
        roles=account.roles,
        venues=account.venues,
    )
