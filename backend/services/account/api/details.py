"""The account as its holder sees it."""

from backend.city.person import Person, document_of, masked_name
from backend.city.service import City
from backend.security.identity import IN_PERSON
from backend.services.account.api.schemas import AccountDetails
from backend.services.account.model.account import Account, masked_phone, standing_of
from backend.services.account.model.identity import masked_id_number


async def details_of(city: City, account: Account, max_level: int = IN_PERSON) -> AccountDetails:
    """Return an account as a session of this level shows it, with masked identifiers.

    A person is shown once the registers have confirmed them.
    """
    standing = standing_of(account, max_level)
    person = None if standing.citizen_id is None else await city.store.get(Person, standing.citizen_id)
    name = None if person is None or person.name is None else city.encryption.read(person, "name")
    number = None if person is None else document_of(city.encryption, person).number
    return AccountDetails(
        id=account.id,
        phone=None if account.phone is None else masked_phone(city.encryption.read(account, "phone")),
        identity_verified=person is not None,
        level=standing.level,
        name=None if name is None else masked_name(name),
        id_number=None if number is None else masked_id_number(number),
        roles=standing.roles,
        venues=standing.venues,
        roles_waiting=tuple(role for role in account.roles if role not in standing.roles),
    )
