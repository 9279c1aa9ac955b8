"""Accounts, sign-in codes and sessions: documents and pure decisions."""

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import ClassVar

import phonenumbers
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, Sex
from backend.city.person import Person
from backend.city.typed_text import compact, without_invisible
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.identity import Caller, Role
from backend.store import ONE_SHARD, Document, Index
from backend.store.time import to_ms

CODE_LIFETIME = timedelta(minutes=5)
RESEND_INTERVAL = timedelta(seconds=60)
MAX_ATTEMPTS = 5
MAX_CODES_PER_DAY = 10
_CHINESE_MOBILE = re.compile(r"(\+86|0086|86)?(1[3-9]\d{9})", re.ASCII)


class InvalidPhone(Problem):
    """The phone number cannot receive text messages."""

    status, title = 400, "Invalid phone"


class WrongCode(Problem):
    """The code is not the latest one, or has expired."""

    status, title = 400, "Wrong code"


class CodeExhausted(Problem):
    """Too many wrong attempts; request a new code."""

    status, title = 429, "Code exhausted"


class SessionEnded(Problem):
    """The refresh token was used before, or its session has ended."""

    status, title = 401, "Session ended"


class IdentityMismatch(Problem):
    """Sex or birth date contradicts the ID number."""

    status, title = 400, "Identity mismatch"


class IdNumberInUse(Problem):
    """Another account is verified with this ID number."""

    status, title = 409, "ID number in use"


class IdentityAlreadyVerified(Problem):
    """The account is verified as another person; an identity is verified once."""

    status, title = 409, "Identity already verified"


class PhoneInUse(Problem):
    """The phone is the main phone of another account."""

    status, title = 409, "Phone in use"


class Account(Document, kw_only=True):
    """An account that signs in by phone; `citizen_id` is the id of its Person once its identity is verified."""

    collection: ClassVar[str] = "accounts"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("phone_digest",), unique=True), Index(("citizen_id",), unique=True))
    shard_key: ClassVar[Mapping[str, str]] = ONE_SHARD

    phone: str
    phone_digest: str
    created: datetime
    citizen_id: str | None = None
    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()


class SignInChallenge(Document, kw_only=True):
    """The code that was sent to a phone last; `id` is the phone's keyed hash.

    `sent` lists when codes were sent during a day. The document is deleted after `expires_ms`, a day after the last.
    """

    collection: ClassVar[str] = "sign_in_challenges"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    code_digest: str
    sent: tuple[datetime, ...]
    expires_ms: int
    attempts: int = 0
    used: bool = False


class Session(Document, kw_only=True):
    """A signed-in device. Its refresh token changes at each use; only the hash of the last one is stored."""

    collection: ClassVar[str] = "sessions"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    account_id: str
    refresh_digest: str
    expires_ms: int


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


def new_code() -> str:
    """Return a new code of six random digits."""
    return f"{secrets.randbelow(10**6):06d}"


def sign_in_message(code: str) -> Text:
    """Return the text message that carries a code."""
    minutes = int(CODE_LIFETIME.total_seconds()) // 60
    return Text(
        zh=f"【城码】验证码{code}，{minutes}分钟内有效。工作人员不会索要，请勿告诉他人。",
        en=f"[Chengma] Your code is {code}, valid for {minutes} minutes. Our staff never ask for it; do not share it.",
    )


def seconds_until_resend(challenge: SignInChallenge, now: datetime) -> int:
    """Return the seconds to wait before another code may be sent to this phone; 0 if it may be sent now."""
    recent = [sent for sent in challenge.sent if now - sent < timedelta(days=1)]
    waits = [RESEND_INTERVAL - (now - recent[-1])] if recent else []
    if len(recent) >= MAX_CODES_PER_DAY:
        waits.append(timedelta(days=1) - (now - recent[0]))
    return max(0, *(int(wait.total_seconds()) + 1 for wait in waits if wait > timedelta(0)), 0)


def new_challenge(phone_digest: str) -> SignInChallenge:
    """Return the challenge of a phone to which no code was sent yet, to be renewed."""
    return SignInChallenge(id=phone_digest, code_digest="", sent=(), expires_ms=0)


def renew_challenge(challenge: SignInChallenge, code_digest: str, now: datetime) -> SignInChallenge:
    """Replace the code of a phone and reset its attempts."""
    recent = tuple(sent for sent in challenge.sent if now - sent < timedelta(days=1))
    sent, expires_ms = (*recent, now), to_ms(now + timedelta(days=1))
    return replace(challenge, code_digest=code_digest, sent=sent, expires_ms=expires_ms, attempts=0, used=False)


def check_code(challenge: SignInChallenge, code_digest: str, now: datetime) -> SignInChallenge:
    """Count an attempt; return the challenge, which is now `used` if the code is correct. Store it before acting on it.

    Raises WrongCode if no code is valid, and CodeExhausted after five attempts.
    """
    if challenge.used or now - challenge.sent[-1] >= CODE_LIFETIME:
        raise wrong_code()
    if challenge.attempts >= MAX_ATTEMPTS:
        raise CodeExhausted(
            Text(zh="验证码尝试次数过多，请重新获取。", en="Too many attempts; request a new code."),
            headers={"Retry-After": str(int(RESEND_INTERVAL.total_seconds()))},
        )
    correct = hmac.compare_digest(challenge.code_digest, code_digest)
    return replace(challenge, attempts=challenge.attempts + 1, used=correct)


def wrong_code() -> WrongCode:
    """Return the Problem for a code that is wrong, expired, used or never sent; it does not disclose which."""
    return WrongCode(
        Text(
            zh="验证码错误或已失效，请核对或重新获取。",
            en="The code is wrong or has expired; check it or request a new one.",
        )
    )


def session_ended() -> SessionEnded:
    """Return the Problem that asks to sign in again."""
    return SessionEnded(Text(zh="登录已失效，请重新登录。", en="The session has ended; sign in again."))


def check_id_details(known: IdentityDocument | Person, sex: Sex | None, born_on: date | None, today: date) -> None:
    """Check that sex and birth date, if given, agree with those that are known. Raises IdentityMismatch."""
    wrong = [
        FieldError(pointer, "contradicts the ID number", "与证件号码不符")
        for pointer, given, expected in (("/sex", sex, known.sex), ("/born_on", born_on, known.born_on))
        if given is not None and expected not in (None, given)
    ]
    if not wrong and born_on is not None and born_on > today:
        wrong = [FieldError("/born_on", "is in the future", "晚于今天")]
    if wrong:
        detail = Text(
            zh="性别或出生日期有误，或与证件号码不符，请核对。",
            en="Sex or birth date is wrong or contradicts the ID number; please check.",
        )
        raise IdentityMismatch(detail, errors=tuple(wrong))


def id_number_in_use() -> IdNumberInUse:
    """Return the Problem for an ID number of another account; it does not disclose which account."""
    return IdNumberInUse(
        Text(
            zh="该证件号码已在其他账户实名。如非您本人操作，请拨打12345。",
            en="Another account is verified with this ID number. If that was not you, call 12345.",
        )
    )


def identity_already_verified() -> IdentityAlreadyVerified:
    """Return the Problem for an account that is already verified as another person."""
    return IdentityAlreadyVerified(
        Text(
            zh="本账户已完成实名认证，不能自行更改。信息有误的，请拨打12345。",
            en="This account's identity is verified and cannot be changed here. If it is wrong, call 12345.",
        )
    )


def caller_of(account: Account, session_id: str) -> Caller:
    """Return the Caller that guards see for an account."""
    return Caller(account.id, session_id, account.citizen_id, account.roles, account.venues)


def masked_phone(phone: str) -> str:
    """Return a phone with all but its first and last digits masked."""
    return phone[:-8] + "****" + phone[-4:]


def masked_id_number(number: str) -> str:
    """Return an ID number with all but its first and last character masked."""
    return number[0] + "*" * (len(number) - 2) + number[-1]
