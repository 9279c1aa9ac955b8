"""Requests and responses of accounts."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from backend.city.id_number import RESIDENT_CARD, DocumentKind, Sex, TypedIdNumber
from backend.security.identity import Role
from backend.services.account.model.session import DeviceKind
from backend.services.account.ports import PresenceMethod

IdentityLevel = Annotated[int, Meta(ge=1, le=3)]
Phone = Annotated[str, Meta(min_length=5, max_length=32, description="national, or with a + prefix")]
Code = Annotated[str, Meta(pattern="^[0-9]{6}$")]
Challenge = Annotated[
    str, Meta(pattern="^[A-Za-z0-9_-]{16,64}$", description="the `challenge` of the response to POST /v1/sign-in-codes")
]
Venue = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class SignInCodeRequest(Struct, forbid_unknown_fields=True):
    """The phone to send a sign-in code to."""

    phone: Phone


class SignInCodeSent(Struct, frozen=True):
    """A code was sent; the response is the same whether or not the phone has an account.

    `challenge` is needed together with the code.
    """

    challenge: str
    expires_in_seconds: int
    resend_in_seconds: int


class SignInRequest(Struct, forbid_unknown_fields=True):
    """A phone, a challenge, and the code that was sent to the phone for it.

    The name and kind of the device are shown to the person in the list of their sessions.
    """

    phone: Phone
    challenge: Challenge
    code: Code
    device_name: Annotated[str, Meta(max_length=60)] = ""
    device_kind: DeviceKind = "other"


class RefreshRequest(Struct, forbid_unknown_fields=True):
    """The refresh token of a session; it can be used once, but for a retry by the same device."""

    refresh_token: Annotated[str, Meta(min_length=10, max_length=200)]


class Tokens(Struct, frozen=True):
    """The tokens of a signed-in device. The access token goes into `Authorization: Bearer ...`."""

    access_token: str
    expires_in_seconds: int
    refresh_token: str
    account_id: str
    identity_verified: bool
    step_up_needed: bool = False
    """The phone may have had another owner: prove the identity of the account, or take a fresh one."""


class AccountDetails(Struct, frozen=True):
    """The caller's account; identifiers are masked. `level` says how the identity was proved, from 1 to 3."""

    id: str
    phone: str | None
    identity_verified: bool
    level: IdentityLevel
    name: str | None
    id_number: str | None
    roles: tuple[Role, ...]
    venues: tuple[str, ...]
    roles_waiting: tuple[Role, ...]
    """Roles that were granted and are in force once the identity is proved in person."""


class IdentityVerificationRequest(Struct, forbid_unknown_fields=True):
    """A person's real name and the number of their identity document, as people type them.

    Sex and birth date, if given, must agree with the number if it tells them.
    """

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    id_number: TypedIdNumber
    document_kind: DocumentKind = RESIDENT_CARD
    sex: Sex | None = None
    born_on: date | None = None


class IdentityProofRequest(IdentityVerificationRequest, kw_only=True, forbid_unknown_fields=True):
    """Who the caller is, and what shows that they are present.

    `evidence` is the id that the check of a face returned to the app, or the number of a bank card whose phone is the
    account's phone.
    """

    method: PresenceMethod
    evidence: Annotated[str, Meta(min_length=1, max_length=200)]
    recover: bool = False
    """Recover the account that has proved this number in person, by the caller's face, with the caller's phone."""


class ProvedAccount(Struct, frozen=True):
    """The account after a proof of identity, and an access token with its level.

    `case_id` is set if another account has proved the same number in person: two officers decide whose it is.
    """

    account: AccountDetails
    access_token: str
    expires_in_seconds: int
    case_id: str | None = None


class PhoneChangeRequest(Struct, forbid_unknown_fields=True):
    """The new main phone with the challenge and code that were sent to it, and those that were sent to the old one.

    Without the old phone, a proof in person in the last ten minutes is needed (POST /v1/me/identity-proofs).
    """

    phone: Phone
    challenge: Challenge
    code: Code
    old_challenge: Challenge | None = None
    old_code: Code | None = None


class PhoneUndoRequest(Struct, forbid_unknown_fields=True):
    """The former phone, with the challenge and code of a sign-in code that was sent to it."""

    phone: Phone
    challenge: Challenge
    code: Code


class AccountLookupRequest(Struct, forbid_unknown_fields=True):
    """The phone of the account that an operator looks for."""

    phone: Phone


class AccountSummary(Struct, frozen=True):
    """An account, as an operator sees it."""

    id: str
    roles: tuple[Role, ...]
    venues: tuple[str, ...]


class PublicKeys(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517): the public keys that verify the city's codes."""

    keys: list[dict[str, str]]
