"""What an account proves about the identity of its person."""

from datetime import date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, Sex
from backend.city.person import Person
from backend.problems import FieldError, Problem
from backend.security.identity import VERIFIED
from backend.services.account.model.account import Account

MAX_PROOFS_PER_DAY = 10
"""An account may try to prove an identity this often in 24 hours: an assumption [A] of 2026-11-29."""


class IdentityMismatch(Problem):
    """Sex or birth date contradicts the ID number."""

    status, title = 400, "Identity mismatch"


class IdentityNotProved(Problem):
    """The registers do not confirm that this is the caller, or the number is proved by another account.

    Which of the two it is, is not said, so nobody learns whether a number is registered.
    """

    status, title, title_zh = 403, "Identity not proved", "身份核验未通过"


class IdentityAlreadyVerified(Problem):
    """The account is verified as another person; an identity is verified once."""

    status, title = 409, "Identity already verified"


class ClaimedIdentity(Struct, frozen=True):
    """The person whom a caller says to be. Sex and birth date, if given, must agree with the number."""

    name: str
    document: IdentityDocument
    sex: Sex | None = None
    born_on: date | None = None


def check_id_details(known: IdentityDocument | Person, claimed: ClaimedIdentity, today: date) -> None:
    """Check that sex and birth date, if given, agree with those that are known. Raises IdentityMismatch."""
    born_on = claimed.born_on
    wrong = [
        FieldError(pointer, "contradicts the ID number", "与证件号码不符")
        for pointer, given, expected in (("/sex", claimed.sex, known.sex), ("/born_on", born_on, known.born_on))
        if given is not None and expected not in (None, given)
    ]
    if not wrong and born_on is not None and born_on > today:
        wrong = [FieldError("/born_on", "is in the future", "晚于今天")]
    if wrong:
        raise IdentityMismatch(
            zh="性别或出生日期有误，或与证件号码不符，请核对。",
            en="Sex or birth date is wrong or contradicts the ID number; please check.",
            errors=tuple(wrong),
        )


def count_proof(account: Account, now: datetime) -> Account:
    """Return the account with one more attempt to prove an identity."""
    recent = tuple(at for at in account.proofs if now - at < timedelta(days=1))
    return replace(account, proofs=(*recent, now))


def seconds_until_proof(account: Account, now: datetime) -> int:
    """Return the seconds to wait before the account may try again to prove an identity; 0 if it may do so now."""
    recent = [at for at in account.proofs if now - at < timedelta(days=1)]
    if len(recent) < MAX_PROOFS_PER_DAY:
        return 0
    return int((timedelta(days=1) - (now - recent[0])).total_seconds()) + 1


def is_verified(account: Account) -> bool:
    """Return whether the registers have confirmed who an account belongs to."""
    return account.citizen_id is not None and account.level >= VERIFIED


def identity_not_proved() -> IdentityNotProved:
    """Return the Problem for an identity that was not proved. It is the same whatever the reason."""
    return IdentityNotProved(
        zh="未能核实您的身份。请核对姓名、证件号码，以及手机号是否为您本人办理；也可以用人脸识别证明是您本人，或拨打12345。",
        en="Your identity could not be confirmed. Check the name, the number, and that the phone is registered to you. "
        "You can also prove by your face that it is you, or call 12345.",
    )


def identity_already_verified() -> IdentityAlreadyVerified:
    """Return the Problem for an account that is already verified as another person."""
    return IdentityAlreadyVerified(
        zh="本账户已完成实名认证，不能自行更改。信息有误或已依法更名的，请拨打12345。",
        en="This account's identity is verified and cannot be changed here. If it is wrong or your name has changed, "
        "call 12345.",
    )


def masked_id_number(number: str) -> str:
    """Return an ID number with all but its first and last character masked."""
    return number[0] + "*" * (len(number) - 2) + number[-1]
