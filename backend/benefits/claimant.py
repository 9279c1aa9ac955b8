"""A subject as a claimant: earlier claims, and the account for payouts."""

from datetime import datetime

from msgspec import Struct
from stdnum import luhn  # pyright: ignore[reportMissingTypeStubs]  untyped library
from stdnum.exceptions import ValidationError  # pyright: ignore[reportMissingTypeStubs]  likewise

from backend.benefits.problems import InvalidBankAccount
from backend.i18n import Text
from backend.jobs.saga import SagaDocument
from backend.problems import FieldError


class PastClaim(Struct, frozen=True, gc=False):
    """An earlier claim: it excludes other benefits, and the same one during its cooldown."""

    claim: str
    benefit: str
    at: datetime


class Claimant(SagaDocument, kw_only=True):
    """A subject that claims benefits. A service adds what it knows about them, and may advance it by its own saga.

    The bank `account` is encrypted; only `account_ending` is ever shown.
    """

    account: str | None = None
    account_ending: str | None = None
    past_claims: tuple[PastClaim, ...] = ()


def parse_card_number(text: str) -> str:
    """Return the number of a bank card without spaces, after checking its check digit (ISO/IEC 7812).

    Raises InvalidBankAccount.
    """
    try:
        number = luhn.validate(text.replace(" ", ""))
    except ValidationError:
        number = ""
    if not 12 <= len(number) <= 19:  # noqa: PLR2004  ISO/IEC 7812
        raise InvalidBankAccount(
            Text(zh="银行卡号校验不通过，请核对后重新填写。", en="The bank card number is invalid; please check it."),
            errors=(FieldError("/number", "the length or the check digit is wrong"),),
        )
    return number
