"""Bank cards of people and firms, as requests name them and answers show them."""

from typing import Annotated

from msgspec import Meta, Struct
from stdnum import luhn  # pyright: ignore[reportMissingTypeStubs]  untyped library
from stdnum.exceptions import ValidationError  # pyright: ignore[reportMissingTypeStubs]  likewise

from backend.i18n import Text
from backend.problems import FieldError, Problem


class BankAccountRequest(Struct, forbid_unknown_fields=True):
    """The bank card for payouts: 12 to 19 digits, spaces allowed."""

    number: Annotated[str, Meta(min_length=12, max_length=30)]


class AccountEnding(Struct, frozen=True):
    """The last digits of the account for payouts."""

    ending: str


class InvalidBankAccount(Problem):
    """The number is not a valid bank card number: its length or its check digit is wrong (ISO/IEC 7812)."""

    status, title = 400, "Invalid bank account"


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
