"""What people do with their account: see it, give their real name, change their phone; and what operators grant."""

from datetime import date
from typing import Annotated, Literal

from litestar import Request, Response, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.city.person import IdNumber, InvalidIdNumber, Profile, parse_id_number, profile_for
from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import (
    AccessClaims,
    Caller,
    Role,
    public,
    refuse_unknown_roles,
    role_guard,
    signed_in,
)
from backend.services.account.model import (
    Account,
    CodeExhausted,
    IdNumberInUse,
    InvalidName,
    InvalidPhone,
    PhoneInUse,
    RealNameFixed,
    RealNameMismatch,
    SessionEnded,
    WrongCode,
    caller_of,
    id_number_in_use,
    masked_id_number,
    masked_name,
    masked_phone,
    parse_name,
    parse_phone,
    refuse_mismatch,
    session_ended,
)
from backend.services.account.sessions import (
    Code,
    Phone,
    access_of,
    account_with,
    digest_phone,
    find_account,
    prove_phone,
)
from backend.store import Duplicate

operator = role_guard("operator")
AccountRequest = Request[Caller, AccessClaims, State]
Venue = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class AccountShown(Struct, frozen=True):
    """The caller's account; identifiers are masked."""

    id: str
    phone: str
    real_named: bool
    name: str | None
    id_number: str | None
    roles: tuple[Role, ...]
    venues: tuple[str, ...]


class RealName(Struct, forbid_unknown_fields=True):
    """A person's name and resident ID number; sex and birth date, where given, must agree with the number."""

    name: Annotated[str, Meta(min_length=2, max_length=60)]
    id_number: Annotated[str, Meta(min_length=15, max_length=20)]
    sex: Literal["female", "male"] | None = None
    born_on: date | None = None


class RealNamed(Struct, frozen=True):
    """The account with its real name, and an access token that says so."""

    account: AccountShown
    access_token: str
    expires_in_seconds: int


class NewPhone(Struct, forbid_unknown_fields=True):
    """The new main phone, and the code that was sent to it."""

    phone: Phone
    code: Code


class AccountWanted(Struct, forbid_unknown_fields=True):
    """The phone of an account that an operator looks for."""

    phone: Phone


class AccountFound(Struct, frozen=True):
    """An account, as an operator sees it."""

    id: str
    roles: tuple[Role, ...]
    venues: tuple[str, ...]


class Grant(Struct, forbid_unknown_fields=True):
    """The roles of an account from now on, and the venues at whose gates it may scan."""

    roles: Annotated[list[Role], Meta(max_length=8)]
    venues: Annotated[list[Venue], Meta(max_length=50)] = []


class PublicKeys(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517): the keys with which codes are verified."""

    keys: list[dict[str, str]]


@get("/v1/me", guards=[signed_in], problems=(SessionEnded,))
async def show_account(request: AccountRequest, city: NamedDependency[City]) -> AccountShown:
    """Show the caller's account."""
    return await _shown(city, await _own(request, city))


@put(
    "/v1/me/real-name",
    guards=[signed_in],
    problems=(InvalidName, InvalidIdNumber, RealNameMismatch, IdNumberInUse, RealNameFixed, SessionEnded),
)
async def give_real_name(data: JSONBody[RealName], request: AccountRequest, city: NamedDependency[City]) -> RealNamed:
    """Give the caller's real name, once; the same again gives the same answer.

    The access token in the answer opens what only citizens may use.
    """
    name = parse_name(data.name)
    id_number = parse_id_number(data.id_number, city.today())
    refuse_mismatch(id_number, data.sex, data.born_on)
    account = await _own(request, city)
    profile = await _claimed(city, account, id_number)
    if profile.name is None:
        profile = await city.store.replace(replace(profile, name=city.encryption.encrypt(name)))
    elif city.encryption.decrypt(profile.name) != name:
        raise _fixed()
    if account.citizen_id is None:
        try:
            account = await city.store.replace(replace(account, citizen_id=profile.id))
        except Duplicate:
            raise id_number_in_use() from None
    token = access_of(request).issue(caller_of(account, request.user.session_id), city.now())
    return RealNamed(await _shown(city, account), token, city.settings.access_token_seconds)


async def _claimed(city: City, account: Account, id_number: IdNumber) -> Profile:
    """Find the Profile of an ID number that this account may claim. Raises IdNumberInUse or RealNameFixed."""
    profile = await profile_for(city.store, city.encryption, id_number, city.now())
    holders = await city.store.find(Account, {"citizen_id": profile.id}, limit=1)
    if holders.documents and holders.documents[0].id != account.id:
        raise id_number_in_use()
    if account.citizen_id not in (None, profile.id):
        raise _fixed()
    return profile


def _fixed() -> RealNameFixed:
    return RealNameFixed(
        Text(zh="本账户已实名，不能更改。", en="The account has given another real name; it cannot be changed here.")
    )


@put("/v1/me/phone", guards=[signed_in], problems=(InvalidPhone, WrongCode, CodeExhausted, PhoneInUse, SessionEnded))
async def change_phone(data: JSONBody[NewPhone], request: AccountRequest, city: NamedDependency[City]) -> AccountShown:
    """Change the main phone of the caller's account; the code proves that the new phone is theirs."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    await prove_phone(city, phone, data.code)
    account = await _own(request, city)
    changed = replace(account, phone=city.encryption.encrypt(phone), phone_digest=digest_phone(city, phone))
    try:
        return await _shown(city, await city.store.replace(changed))
    except Duplicate:
        raise PhoneInUse(
            Text(zh="该手机号已是其他账户的主手机号。", en="The phone is the main phone of another account.")
        ) from None


@post("/v1/accounts/lookups", guards=[operator], status_code=200, problems=(InvalidPhone, NotFound))
async def look_up_account(data: JSONBody[AccountWanted], city: NamedDependency[City]) -> AccountFound:
    """Find an account by its phone, which stands in the body and never in an address."""
    account = await find_account(city, parse_phone(data.phone, city.settings.phone_region))
    if account is None:
        raise _no_account()
    return AccountFound(account.id, account.roles, account.venues)


@put("/v1/accounts/{account_id:str}/roles", guards=[operator])
async def grant_roles(account_id: FromPath[str], data: JSONBody[Grant], city: NamedDependency[City]) -> AccountFound:
    """Set the roles and venues of an account; they count from its next access token on."""
    refuse_unknown_roles(data.roles, city.roles)
    account = await city.store.get(Account, account_id)
    if account is None:
        raise _no_account()
    roles, venues = tuple(dict.fromkeys(data.roles)), tuple(dict.fromkeys(data.venues))
    account = await city.store.replace(replace(account, roles=roles, venues=venues))
    return AccountFound(account.id, account.roles, account.venues)


@get("/.well-known/jwks.json", guards=[public], priority="essential")
async def show_public_keys(city: NamedDependency[City]) -> Response[PublicKeys]:
    """Show the public keys with which anybody verifies the city's codes, also offline."""
    keys = PublicKeys(city.keys.jwks()["keys"])
    return Response(keys, headers={"Cache-Control": "public, max-age=300"})


async def grant(city: City, phone: str, roles: tuple[Role, ...], venues: tuple[str, ...] = ()) -> Account:
    """Give an account its roles and venues, making it where there is none: the first operator, and demonstrations."""
    refuse_unknown_roles(roles, city.roles)
    account = await account_with(city, parse_phone(phone, city.settings.phone_region))
    return await city.store.replace(replace(account, roles=roles, venues=venues))


async def _own(request: AccountRequest, city: City) -> Account:
    account = await city.store.get(Account, request.user.account_id)
    if account is None:
        raise session_ended()
    return account


async def _shown(city: City, account: Account) -> AccountShown:
    profile = await city.store.get(Profile, account.citizen_id) if account.citizen_id is not None else None
    name = profile.name if profile is not None else None
    return AccountShown(
        id=account.id,
        phone=masked_phone(city.encryption.decrypt(account.phone)),
        real_named=profile is not None,
        name=None if name is None else masked_name(city.encryption.decrypt(name)),
        id_number=None if profile is None else masked_id_number(city.encryption.decrypt(profile.id_number)),
        roles=account.roles,
        venues=account.venues,
    )


def _no_account() -> NotFound:
    return NotFound(Text(zh="没有这个账户。", en="There is no such account."))
