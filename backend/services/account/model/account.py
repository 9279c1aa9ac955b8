"""Accounts, and the phones with which people sign in to them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import phonenumbers
from msgspec import Struct

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.city.typed_text import compact, without_invisible
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.identity import IN_PERSON, SIGNED_IN, Caller, Role
from backend.security.standing import Standing
from backend.store import ONE_SHARD, Index

_CHINESE_MOBILE = re.compile(r"(\+86|0086|86)?(1[3-9]\d{9})", re.ASCII)


class InvalidPhone(Problem):
    """The phone number cannot receive text messages."""

    status, title = 400, "Invalid phone"


class PhoneInUse(Problem):
    """The phone is the main phone of another account."""

    status, title = 409, "Phone in use"


class Proposal(Struct, frozen=True, kw_only=True):
    """Roles and venues that an operator proposes for an account; another operator approves them until `expires_at`."""

    id: str
    roles: tuple[Role, ...]
    venues: tuple[str, ...]
    reason: str
    proposed_by: str
    proposed_by_person: str | None
    proposed_at: datetime
    expires_at: datetime


class Account(AuditedDocument, kw_only=True):
    """An account that signs in by phone; `citizen_id` is the id of its Person once their identity is verified.

    Its `roles` and `venues` are in force while `level` says that the person was present. `staff_since_ms` is set while
    it has any, and `proposal_expires_ms` while some are proposed.
    """

    collection: ClassVar[str] = "accounts"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("phone_digest",), unique=True),
        Index(("citizen_id",), unique=True),
        Index((), ordered="staff_since_ms"),
        Index((), ordered="proposal_expires_ms"),
        UNLOGGED,
    )
    shard_key: ClassVar[Mapping[str, str]] = ONE_SHARD

    phone: str
    phone_digest: str
    created: datetime
    citizen_id: str | None = None
    level: int = SIGNED_IN
    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()
    staff_since_ms: int | None = None
    proposals: tuple[Proposal, ...] = ()
    proposal_expires_ms: int | None = None


def parse_phone(text: str, region: str) -> str:
    """Parse a phone number, national or with a + prefix; return it in E.164 format. Raises InvalidPhone.

    Every number of the form of Chinese mobile phones is accepted: the carriers open prefixes before any library knows.
    """
    chinese = _CHINESE_MOBILE.fullmatch(compact(text))
    if chinese is not None and (chinese[1] or region == "CN"):
        return f"+86{chinese[2]}"
    try:
        number = phonenumbers.parse(without_invisible(text), region)
    except phonenumbers.NumberParseException as error:
        raise _invalid_phone() from error
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) not in kinds:
        raise _invalid_phone()
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _invalid_phone() -> InvalidPhone:
    english = "This is not a mobile phone number; enter one that can receive text messages."
    chinese = "手机号码不正确，请填写能接收短信的手机号码。"
    return InvalidPhone(Text(zh=chinese, en=english), errors=(FieldError("/phone", english),))


def caller_of(account: Account, session_id: str) -> Caller:
    """Return the Caller that guards see for an account."""
    standing = standing_of(account)
    return Caller(account.id, session_id, standing.citizen_id, standing.roles, standing.venues, level=standing.level)


def standing_of(account: Account) -> Standing:
    """Return what an account may do: its roles are in force while it is proved that the person was present."""
    if account.citizen_id is None or account.level < IN_PERSON:
        return Standing(account.citizen_id, (), (), account.level)
    return Standing(account.citizen_id, account.roles, account.venues, account.level)


def masked_phone(phone: str) -> str:
    """Return a phone with all but its first and last digits masked."""
    return phone[:-8] + "****" + phone[-4:]
