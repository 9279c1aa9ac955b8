"""The account as its holder sees it, and the tokens of a session."""

from backend.city.person import Person, document_of, masked_name
from backend.city.service import City
from backend.security.identity import IN_PERSON, SIGNED_IN
from backend.services.account.api.schemas import AccountDetails, Tokens
from backend.services.account.devices import AnyRequest
from backend.services.account.model.account import Account, masked_phone, standing_of
from backend.services.account.model.identity import masked_id_number
from backend.services.account.sessions import issue_access_token, live_session


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


async def tokens_of(request: AnyRequest, city: City, account: Account, refresh_token: str) -> Tokens:
    """Return the tokens of a session."""
    session_id, _, _ = refresh_token.partition(".")
    session = await live_session(city, session_id)
    return Tokens(
        access_token=issue_access_token(city, request, account, session),
        expires_in_seconds=city.settings.access_token_seconds,
        refresh_token=refresh_token,
        account_id=account.id,
        identity_verified=standing_of(account, session.max_level).citizen_id is not None,
        step_up_needed=session.max_level == SIGNED_IN,
    )
