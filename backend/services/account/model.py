"""Accounts, sign-in codes and sessions: the documents, and what may be done with them. Pure."""

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Literal

import phonenumbers
from msgspec.structs import replace

from backend.city.person import IdNumber
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.identity import Caller, Role
from backend.store import ONE_SHARD, Document, Index

CODE_LIVES = timedelta(minutes=5)
RESEND_AFTER = timedelta(seconds=60)
MAX_ATTEMPTS = 5
CODES_A_DAY = 10
_NAME = re.compile(
    r"[㐀-鿿\U00020000-\U0003134F]{1,20}(?:[·•][㐀-鿿\U00020000-\U0003134F]{1,20}){0,4}|[A-Za-z][A-Za-z .'\-]{1,49}"
)


class InvalidPhone(Problem):
    """The phone number is none that a text message can reach."""

    status, title = 400, "Invalid phone"


class WrongCode(Problem):
    """The code is not the one that was sent last, or no longer counts."""

    status, title = 400, "Wrong code"


class CodeExhausted(Problem):
    """The code was tried too often; a new one is needed."""

    status, title = 429, "Code exhausted"


class SessionEnded(Problem):
    """The refresh token was used before, or its session has ended."""

    status, title = 401, "Session ended"


class InvalidName(Problem):
    """The name cannot stand on an identity card, or what was given contradicts the ID number."""

    status, title = 400, "Invalid name"


class RealNameMismatch(Problem):
    """Sex or birth date contradict the ID number."""

    status, title = 400, "Real name mismatch"


class IdNumberInUse(Problem):
    """Another account has given this ID number."""

    status, title = 409, "ID number in use"


class RealNameFixed(Problem):
    """The account has given another real name before; it is given once."""

    status, title = 409, "Real name fixed"


class PhoneInUse(Problem):
    """The phone is the main phone of another account."""

    status, title = 409, "Phone in use"


class Account(Document, kw_only=True):
    """Somebody who signs in with a phone; `citizen_id` is their Profile, once they have given their real name."""

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
    """The code that was sent to a phone last; `id` is the phone's keyed hash. `sent` are the sendings of a day.

    It is forgotten at `expires_ms`, when the day of the last sending is over.
    """

    collection: ClassVar[str] = "sign_in_challenges"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    code_digest: str
    sent: tuple[datetime, ...]
    expires_ms: int
    attempts: int = 0
    used: bool = False


class Session(Document, kw_only=True):
    """A signed-in device. Its refresh token is exchanged at each use; only the hash of the last one is kept."""

    collection: ClassVar[str] = "sessions"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    account_id: str
    refresh_digest: str
    expires_ms: int


def parse_phone(text: str, region: str) -> str:
    """Read a phone number, national or with a + prefix, and give it in E.164 form. Raises InvalidPhone."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise _invalid_phone() from error
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) not in kinds:
        raise _invalid_phone()
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _invalid_phone() -> InvalidPhone:
    english = "This is no mobile phone number."
    return InvalidPhone(Text(zh="手机号码不正确。", en=english), errors=(FieldError("/phone", english),))


def new_code() -> str:
    """Give six random digits."""
    return f"{secrets.randbelow(10**6):06d}"


def seconds_until_resend(challenge: SignInChallenge, now: datetime) -> int:
    """Give how long to wait before another code may be sent to this phone; 0 for not at all."""
    recent = [sent for sent in challenge.sent if now - sent < timedelta(days=1)]
    waits = [RESEND_AFTER - (now - recent[-1])] if recent else []
    if len(recent) >= CODES_A_DAY:
        waits.append(timedelta(days=1) - (now - recent[0]))
    return max(0, *(int(wait.total_seconds()) + 1 for wait in waits if wait > timedelta(0)), 0)


def send_first(phone_digest: str, code_digest: str, now: datetime) -> SignInChallenge:
    """Send the first code to a phone, or the first since the last was forgotten."""
    return SignInChallenge(id=phone_digest, code_digest=code_digest, sent=(now,), expires_ms=_forgotten_ms(now))


def _forgotten_ms(sent: datetime) -> int:
    return int((sent + timedelta(days=1)).timestamp() * 1_000)


def send_again(challenge: SignInChallenge, code_digest: str, now: datetime) -> SignInChallenge:
    """Exchange the code of a phone for a new one."""
    recent = tuple(sent for sent in challenge.sent if now - sent < timedelta(days=1))
    sent = (*recent, now)
    return replace(challenge, code_digest=code_digest, sent=sent, expires_ms=_forgotten_ms(now), attempts=0, used=False)


def try_code(challenge: SignInChallenge | None, code_digest: str, now: datetime) -> tuple[SignInChallenge, bool]:
    """Count a try, and tell whether the code is right. Store the challenge before believing the answer.

    Raises WrongCode where there is no code that still counts, and CodeExhausted after five tries.
    """
    if challenge is None or challenge.used or now - challenge.sent[-1] >= CODE_LIVES:
        raise wrong_code()
    if challenge.attempts >= MAX_ATTEMPTS:
        raise CodeExhausted(
            Text(zh="验证码尝试次数过多，请重新获取。", en="The code was tried too often; ask for a new one."),
            headers={"Retry-After": str(int(RESEND_AFTER.total_seconds()))},
        )
    right = hmac.compare_digest(challenge.code_digest, code_digest)
    return replace(challenge, attempts=challenge.attempts + 1, used=right), right


def wrong_code() -> WrongCode:
    """Give the Problem for a code that is wrong, expired, used or never sent: nobody learns which."""
    return WrongCode(Text(zh="验证码错误或已失效。", en="The code is wrong or no longer counts."))


def session_ended() -> SessionEnded:
    """Give the Problem that asks to sign in again."""
    return SessionEnded(Text(zh="登录已失效，请重新登录。", en="The session has ended; sign in again."))


def parse_name(text: str) -> str:
    """Read a name as it may stand on an identity card. Raises InvalidName."""
    name = " ".join(text.split()).replace("•", "·")
    if not _NAME.fullmatch(name):
        english = "A name has Chinese characters, perhaps with ·, or Latin letters."
        raise InvalidName(Text(zh="姓名格式不正确。", en=english), errors=(FieldError("/name", english),))
    return name


def refuse_mismatch(id_number: IdNumber, sex: Literal["female", "male"] | None, born_on: object) -> None:
    """Refuse a sex or birth date that contradicts the ID number. Raises RealNameMismatch."""
    wrong = [
        FieldError(pointer, "It contradicts the ID number.")
        for pointer, given, said in (("/sex", sex, id_number.sex), ("/born_on", born_on, id_number.born_on))
        if given is not None and given != said
    ]
    if wrong:
        detail = Text(zh="性别或出生日期与身份证号码不符。", en="Sex or birth date contradict the ID number.")
        raise RealNameMismatch(detail, errors=tuple(wrong))


def id_number_in_use() -> IdNumberInUse:
    """Give the Problem for an ID number that another account has; it does not tell whose."""
    return IdNumberInUse(
        Text(
            zh="该身份证号码已绑定其他账户。",
            en="Another account has given this ID number; call the city if that is wrong.",
        )
    )


def caller_of(account: Account, session_id: str) -> Caller:
    """Give who an account's holder is to the guards."""
    return Caller(account.id, session_id, account.citizen_id, account.roles, account.venues)


def masked_phone(phone: str) -> str:
    """Give a phone of which only the ends can be read."""
    return phone[:-8] + "****" + phone[-4:]


def masked_name(name: str) -> str:
    """Give a name of which only the last character can be read."""
    return "*" * (len(name) - 1) + name[-1]


def masked_id_number(number: str) -> str:
    """Give an ID number of which only the ends can be read."""
    return number[0] + "*" * 16 + number[-1]
