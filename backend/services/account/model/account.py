"""Accounts, and the phones with which people sign in to them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import phonenumbers

from backend.city.typed_text import compact, without_invisible
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.identity import SIGNED_IN, Caller, Role
from backend.store import ONE_SHARD, Document, Index

_CHINESE_MOBILE = re.compile(r"(\+86|0086|86)?(1[3-9]\d{9})", re.ASCII)


class InvalidPhone(Problem):
    """The phone number cannot receive text messages."""

    status, title = 400, "Invalid phone"


class PhoneInUse(Problem):
    """The phone is the main phone of another account."""

    status, title = 409, "Phone in use"


class Account(Document, kw_only=True):
    """An account that signs in by phone; `citizen_id` is the id of its Person once somebody has been named.

    `level` says how that identity was proved. An account that was named before names were proved is at level 1.
    `phone` is None if it was lost and passed to somebody else; the account then waits for its owner.
    `proofs` lists when it tried to prove an identity during a day.
    """

    collection: ClassVar[str] = "accounts"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("phone_digest",), unique=True), Index(("citizen_id",), unique=True))
    shard_key: ClassVar[Mapping[str, str]] = ONE_SHARD

    phone: str | None
    phone_digest: str | None
    created: datetime
    citizen_id: str | None = None
    level: int = SIGNED_IN
    proofs: tuple[datetime, ...] = ()
    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()


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
    return Caller(account.id, session_id, account.citizen_id, account.roles, account.venues, level=account.level)


def masked_phone(phone: str) -> str:
    """Return a phone with all but its first and last digits masked."""
    return phone[:-8] + "****" + phone[-4:]
