"""Let people see their account, verify their identity and change their phone."""

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, InvalidIdNumber, parse_id_number
from backend.city.name import InvalidName, parse_name
from backend.city.person import Person, document_of, find_or_create_person, masked_name
from backend.city.service import City
from backend.i18n import Text
from backend.security.identity import CitizenRequest, signed_in
from backend.services.account.accounts import encrypted_phone, own_account, phone_digest_of
from backend.services.account.api.schemas import (
    AccountDetails,
    IdentityVerificationRequest,
    PhoneChangeRequest,
    VerifiedAccount,
)
from backend.services.account.model.account import (
    Account,
    InvalidPhone,
    PhoneInUse,
    masked_phone,
    parse_phone,
    standing_of,
)
from backend.services.account.model.identity import (
    IdentityAlreadyVerified,
    IdentityMismatch,
    IdNumberInUse,
    check_id_details,
    id_number_in_use,
    identity_already_verified,
    masked_id_number,
)
from backend.services.account.model.session import SessionEnded
from backend.services.account.model.sign_in import CodeExhausted, WrongCode
from backend.services.account.sessions import issue_access_token
from backend.services.account.sign_in_codes import verify_phone
from backend.store import Duplicate
from backend.store.place import Place


@get("/v1/me", guards=[signed_in], problems=(SessionEnded,))
async def show_account(request: CitizenRequest, city: NamedDependency[City]) -> AccountDetails:
    """Show the caller's account."""
    return await _details(city, await own_account(city, request))


@put(
    "/v1/me/real-name",
    guards=[signed_in],
    problems=(InvalidName, InvalidIdNumber, IdentityMismatch, IdNumberInUse, IdentityAlreadyVerified, SessionEnded),
)
async def verify_identity(
    data: JSONBody[IdentityVerificationRequest], request: CitizenRequest, city: NamedDependency[City]
) -> VerifiedAccount:
    """Verify the caller's identity by real name and identity document, once; repeating the same request is safe.

    If the number does not tell sex and birth date, they may be given; services for an age need the birth date.
    The access token in the response opens the routes that only citizens may use.
    """
    name = parse_name(data.name)
    id_number = parse_id_number(data.id_number, city.today(), kind=data.document_kind)
    check_id_details(id_number, data.sex, data.born_on, city.today())
    account = await own_account(city, request)
    person = await _available_person(city, account, id_number)
    check_id_details(person, data.sex, data.born_on, city.today())
    if person.name is not None and parse_name(city.encryption.read(person, "name")) != name:
        raise identity_already_verified()
    verified = replace(
        person,
        name=person.name or city.encryption.encrypt(name, Place.of(Person, person.id, "name")),
        sex=person.sex or data.sex,
        born_on=person.born_on or data.born_on,
    )
    if verified != person:
        person = await city.store.replace(verified)
    if account.citizen_id is None:
        try:
            account = await city.store.replace(replace(account, citizen_id=person.id))
        except Duplicate:
            raise id_number_in_use() from None
    token = issue_access_token(city, request, account, request.user.session_id)
    return VerifiedAccount(await _details(city, account), token, city.settings.access_token_seconds)


async def _available_person(city: City, account: Account, id_number: IdentityDocument) -> Person:
    """Return the Person with an ID number. Raises IdNumberInUse or IdentityAlreadyVerified if it cannot be theirs."""
    person = await find_or_create_person(city.store, city.encryption, id_number, city.now())
    holders = await city.store.find(Account, {"citizen_id": person.id}, limit=1)
    if holders.documents and holders.documents[0].id != account.id:
        raise id_number_in_use()
    if account.citizen_id not in (None, person.id):
        raise identity_already_verified()
    return person


@put("/v1/me/phone", guards=[signed_in], problems=(InvalidPhone, WrongCode, CodeExhausted, PhoneInUse, SessionEnded))
async def change_phone(
    data: JSONBody[PhoneChangeRequest], request: CitizenRequest, city: NamedDependency[City]
) -> AccountDetails:
    """Change the main phone of the caller's account; the code proves that the caller holds the new phone."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    await verify_phone(city, phone, data.challenge, data.code)
    account = await own_account(city, request)
    changed = replace(
        account, phone=encrypted_phone(city, account.id, phone), phone_digest=phone_digest_of(city, phone)
    )
    try:
        return await _details(city, await city.store.replace(changed))
    except Duplicate:
        raise PhoneInUse(
            Text(
                zh="该手机号已是其他账户的主手机号，请换一个手机号，或用该手机号登录。",
                en="The phone is the main phone of another account; use another phone, or sign in with this one.",
            )
        ) from None


async def _details(city: City, account: Account) -> AccountDetails:
    person = await city.store.get(Person, account.citizen_id) if account.citizen_id is not None else None
    name = None if person is None or person.name is None else city.encryption.read(person, "name")
    standing = standing_of(account)
    number = None if person is None else document_of(city.encryption, person).number
    return AccountDetails(
        id=account.id,
        phone=masked_phone(city.encryption.read(account, "phone")),
        identity_verified=person is not None,
        name=None if name is None else masked_name(name),
        id_number=None if number is None else masked_id_number(number),
        roles=standing.roles,
        venues=standing.venues,
        roles_waiting=tuple(role for role in account.roles if role not in standing.roles),
    )
