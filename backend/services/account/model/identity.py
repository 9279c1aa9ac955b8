"""What an account proves about the identity of its person."""

from datetime import date

from backend.city.id_number import IdentityDocument, Sex
from backend.city.person import Person
from backend.i18n import Text
from backend.problems import FieldError, Problem


class IdentityMismatch(Problem):
    """Sex or birth date contradicts the ID number."""

    status, title = 400, "Identity mismatch"


class IdNumberInUse(Problem):
    """Another account is verified with this ID number."""

    status, title = 409, "ID number in use"


class IdentityAlreadyVerified(Problem):
    """The account is verified as another person; an identity is verified once."""

    status, title = 409, "Identity already verified"


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


def masked_id_number(number: str) -> str:
    """Return an ID number with all but its first and last character masked."""
    return number[0] + "*" * (len(number) - 2) + number[-1]
