"""Accounts, and the phones with which people sign in to them."""

import re
from datetime import datetime
from typing import ClassVar

import phonenumbers
from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.city.typed_text import compact, without_invisible
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.identity import IN_PERSON, SIGNED_IN, VERIFIED, Caller, Role
from backend.security.standing import Standing
from backend.services.account.model.device import SILENCE, USE_RECORDED_SINCE, Device, knows_device, used_devices
from backend.store import ONE_SHARD, Index, ShardKey
from backend.store.retention import Retention

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
    """An account that signs in by phone; `citizen_id` is the id of its Person once somebody has been named.

    Its `roles` and `venues` are in force while `level` says that the person was present. `staff_since_ms` is set while
    it has any, and `proposal_expires_ms` while some are proposed.
    `level` says how that identity was proved. An account that was named before names were proved is at level 1.
    `phone` is None if it was lost and passed to somebody else; the account then waits for its owner.
    The account has its phone since `phone_since` (None: since it was created). `former_phone` may undo the change until
    `former_until`; the account then `is_disputed` until its owner proves who they are. While `untold_ms` is set, people
    must still be notified of the change, and sessions other than `kept_session` must be ended.
    `proofs` lists when it tried to prove an identity during a day.
    `last_used` is when it last signed in or renewed a session, to the day. None is before this was recorded.
    """

    collection: ClassVar[str] = "accounts"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("phone_digest",), unique=True),
        Index(("citizen_id",), unique=True),
        Index(("former_digest",)),
        Index((), ordered="untold_ms"),
        Index((), ordered="staff_since_ms"),
        Index((), ordered="proposal_expires_ms"),
        UNLOGGED,
    )
    shard_key: ClassVar[ShardKey] = ONE_SHARD
    retention: ClassVar[Retention] = Retention(
        grows_with="each person who signs in",
        ends="when the person closes it",
        names="a person",
    )

    phone: str | None
    phone_digest: str | None
    created: datetime
    phone_since: datetime | None = None
    former_phone: str | None = None
    former_digest: str | None = None
    former_until: datetime | None = None
    kept_session: str = ""
    is_disputed: bool = False
    untold_ms: int | None = None
    citizen_id: str | None = None
    level: int = SIGNED_IN
    proofs: tuple[datetime, ...] = ()
    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    last_used: datetime | None = None
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


def country_code(phone: str) -> str:
    """Return the country calling code of a phone in E.164 format."""
    return str(phonenumbers.parse(phone).country_code)


def country_code_of_region(region: str) -> str:
    """Return the country calling code of a region such as CN."""
    return str(phonenumbers.country_code_for_region(region))


def is_silent(account: Account, now: datetime) -> bool:
    """Return whether an account was unused for so long that its phone may have another owner by now."""
    return now - max(account.created, account.last_used or USE_RECORDED_SINCE) >= SILENCE


def phone_proves_owner(account: Account, device_id: str | None, now: datetime) -> bool:
    """Return whether a code sent to the phone is enough to open the account.

    After a long silence it is enough on a known device only, since the phone may have been given to somebody else.
    """
    return not is_silent(account, now) or knows_device(account.devices, device_id)


def used_account(account: Account, device_id: str | None, now: datetime) -> Account:
    """Return the account after it was used now with this device; the same if there is nothing to record."""
    unrecorded = device_id is not None and not knows_device(account.devices, device_id)
    if not unrecorded and account.last_used is not None and account.last_used.date() == now.date():
        return account
    return replace(account, devices=used_devices(account.devices, device_id, now), last_used=now)


def without_device(account: Account, device_id: str | None) -> Account:
    """Return the account without a device; the same if it does not know it."""
    kept = tuple(device for device in account.devices if device.id != device_id)
    return account if len(kept) == len(account.devices) else replace(account, devices=kept)


def caller_of(account: Account, session_id: str, max_level: int = IN_PERSON) -> Caller:
    """Return the Caller that guards see for an account in a session of this level."""
    standing = standing_of(account, max_level)
    return Caller(account.id, session_id, standing.citizen_id, standing.roles, standing.venues, level=standing.level)


def standing_of(account: Account, max_level: int = IN_PERSON) -> Standing:
    """Return what an account may do in a session of this level.

    A name that was not proved opens nothing, and roles are in force while it is proved that the person was present.
    """
    level = SIGNED_IN if account.citizen_id is None else min(account.level, max_level)
    if level < IN_PERSON:
        return Standing(account.citizen_id if level >= VERIFIED else None, (), (), level)
    return Standing(account.citizen_id, account.roles, account.venues, level)


def masked_phone(phone: str) -> str:
    """Return a phone with all but its first and last digits masked."""
    return phone[:-8] + "****" + phone[-4:]
